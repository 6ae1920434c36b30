/**
 * The plugin of netavark, podman's network program (1.6 and later): driver `tulle`. Its protocol is netavark's plugin-API.md.
 *
 *     podman network create -d tulle blue      create     joins or makes the network of that name
 *     podman run --network blue                setup      reserve ─> attach ─> describe
 *     the container ends                       teardown   detach ─> release
 */
import type { NetavarkCall, PluginAnswer } from '../../api/cni.ts';
import { messageOf, TulleError } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { KeyedLock } from '../../base/keyed-lock.ts';
import type { Logger } from '../../base/log.ts';
import { familiesOf, type PerFamily, valuesOf } from '../../base/per-family.ts';
import { Undo } from '../../base/undo.ts';
import {
  AttachmentError,
  type Attachments,
  type ContainerNetwork,
} from '../../network/attachment/attachments.ts';
import { assertSameHost, contentOf, sandboxPathOf } from '../cni/sandbox-link.ts';
import { macOf, reserveAddresses } from '../reserve-addresses.ts';
import {
  type NetavarkContainer,
  type NetavarkNetwork,
  readPodmanContainer,
  readPodmanNetwork,
} from './netavark-input.ts';

export interface NetavarkPluginOptions {
  readonly attachments: Attachments;
  /** Address of the resolver as containers reach it; undefined where there is none. */
  readonly resolver: Ip | undefined;
  readonly logger: Logger;
  /** Replaced in tests. */
  readonly assertSameHost?: (own: string) => void;
  readonly contentOf?: typeof contentOf;
}

export class NetavarkPlugin {
  readonly #options: NetavarkPluginOptions;
  readonly #attachments: Attachments;
  readonly #lock = new KeyedLock();

  constructor(options: NetavarkPluginOptions) {
    this.#options = options;
    this.#attachments = options.attachments;
  }

  /** Never rejects: what is wrong is in the answer. */
  async handle(call: NetavarkCall): Promise<PluginAnswer> {
    try {
      (this.#options.assertSameHost ?? assertSameHost)(call.own);
      const answer = await this.#run(call);
      return { status: 0, stdout: answer === undefined ? '' : `${JSON.stringify(answer)}\n` };
    } catch (error) {
      this.#options.logger.warn(
        { command: call.command, reason: messageOf(error) },
        'a call of netavark was refused',
      );
      const { hint } = error instanceof TulleError ? error : { hint: undefined };
      const message = hint === undefined ? messageOf(error) : `${messageOf(error)} (${hint})`;
      return { status: 1, stdout: `${JSON.stringify({ error: message })}\n` };
    }
  }

  async #run(call: NetavarkCall): Promise<object | undefined> {
    if (call.command === 'create') return await this.#create(call.config);
    const container = readPodmanContainer(call.config);
    return await this.#lock.run(container.id, async () =>
      call.command === 'setup' ? await this.#setup(call, container) : await this.#remove(container.id),
    );
  }

  async #create(config: string): Promise<object> {
    const { raw, network } = readPodmanNetwork(config);
    const { name, kind, subnets, gateways, bridge, internal } = await this.#ensured(network);
    const addressed = familiesOf(subnets).map(family => ({
      subnet: `${subnets[family]}`,
      ...(gateways[family] && { gateway: `${gateways[family]}` }),
    }));
    const options = { ...network.options, 'tulle.network': name };
    // podman itself serves no names here: they are those of all hosts.
    const made = {
      subnets: addressed,
      ipv6_enabled: subnets.ipv6 !== undefined,
      internal,
      dns_enabled: false,
    };
    return { ...raw, ...made, ...(kind === 'segment' && { network_interface: bridge }), options };
  }

  async #setup(call: NetavarkCall, wanted: NetavarkContainer): Promise<object> {
    const { id, name, link, network } = wanted;
    const path = sandboxPathOf(call.netns ?? '', call, false);
    if ((await (this.#options.contentOf ?? contentOf)(path, link)).hasLink)
      throw new AttachmentError('INVALID_WISH', `the container has a link ${link} already`);
    await this.#remove(id);
    const on = await this.#ensured(network);
    const mac = wanted.mac ?? macOf(id);
    const wish = { engine: 'netavark', container: name, mac, keep: network.keep } as const;
    await using undo = new Undo();
    const addresses = await reserveAddresses(this.#attachments, on, wish, wanted.ips, undo);
    const to = { network: on.name, addresses, ports: wanted.ports, sandbox: { path, link } };
    await this.#attachments.attach({ id, engine: 'netavark', mac, container: name, ...to });
    undo.push(`detach ${id}`, () => this.#attachments.detach(id));
    const { aliases } = wanted;
    if (aliases.length > 0) await this.#attachments.describe(id, { container: name, names: aliases });
    undo.commit();
    const { resolver } = this.#options;
    return {
      dns_search_domains: resolver === undefined ? [] : [`${on.name}.tulle`],
      dns_server_ips: resolver === undefined ? [] : [`${resolver}`],
      interfaces: { [link]: { mac_address: `${mac}`, subnets: subnetsOf(on, addresses) } },
    };
  }

  async #remove(id: string): Promise<undefined> {
    const attachment = this.#attachments.get(id);
    await this.#attachments.detach(id);
    if (attachment === undefined) return;
    for (const ip of valuesOf(attachment.addresses)) await this.#attachments.release(attachment.network, ip);
  }

  #ensured({ name, subnets, gateways, ipv6, internal }: NetavarkNetwork): Promise<ContainerNetwork> {
    const present = this.#attachments.find(name);
    return this.#attachments.ensure({
      name,
      subnets,
      gateways,
      ipv6: ipv6 || present?.subnets.ipv6 !== undefined,
      // What podman was not told stays as the cluster has it.
      internal: internal || (present?.internal ?? false),
    });
  }
}

function subnetsOf({ subnets, gateways }: ContainerNetwork, addresses: PerFamily<Ip>): object[] {
  return familiesOf(addresses).map(family => ({
    ipnet: `${addresses[family]}/${subnets[family]?.length}`,
    ...(gateways[family] && { gateway: `${gateways[family]}` }),
  }));
}
