/** The type `tulle`: a container's namespace gets a link. Everything that is remembered is so by `Attachments`. */
import type { CniCall } from '../../api/cni.ts';
import type { Ip } from '../../base/ip.ts';
import { familiesOf, type PerFamily, valuesOf } from '../../base/per-family.ts';
import { Undo } from '../../base/undo.ts';
import type { Attachments, ContainerNetwork } from '../../network/attachment/attachments.ts';
import { macOf, reserveAddresses } from '../reserve-addresses.ts';
import { type CniCommands, findNetwork } from './cni-commands.ts';
import type { CniConfig } from './cni-config.ts';
import { CniError } from './cni-error.ts';
import { cniResult } from './cni-result.ts';
import { attachmentIdOf, containerNameOf, isPodman } from './container-id.ts';
import type { CniEnvironment } from './environment.ts';
import { resolverDns } from './resolver-dns.ts';
import { contentOf, sandboxPathOf } from './sandbox-link.ts';

export interface LinkCommandsOptions {
  readonly attachments: Attachments;
  /** Address of the resolver as containers reach it; undefined where there is none. */
  readonly resolver: Ip | undefined;
  /** Replaced in tests. */
  readonly contentOf?: typeof contentOf;
}

export class LinkCommands implements CniCommands {
  readonly #attachments: Attachments;
  readonly #options: LinkCommandsOptions;

  constructor(options: LinkCommandsOptions) {
    this.#attachments = options.attachments;
    this.#options = options;
  }

  async add(call: CniCall, environment: CniEnvironment, config: CniConfig): Promise<object> {
    const { containerId, link, args, mayBeHost } = environment;
    const path = sandboxPathOf(environment.netns, call, mayBeHost);
    const look = () => (this.#options.contentOf ?? contentOf)(path, link);
    const before = await look();
    if (before.hasLink)
      throw new CniError('LINK_EXISTS', `the namespace ${environment.netns} has a link ${link} already`);
    const id = attachmentIdOf(config.name, containerId, link);
    const isFormer = this.#attachments.get(id) !== undefined;
    // Of a container with this id that is gone, while no agent ran that could be told so.
    await this.remove(id);
    // Of the container's first network, which keeps it.
    const { defaultRoutes: taken } = isFormer ? await look() : before;
    const network = await this.#ready(config);
    const container = containerNameOf(args, containerId);
    const mac = config.mac ?? macOf(id);
    const wish = { engine: 'cni', container, mac, keep: config.keep } as const;
    await using undo = new Undo();
    const addresses = await reserveAddresses(this.#attachments, network, wish, config.ips, undo);
    const { aliases } = config;
    const ports = isPodman(args)
      ? config.ports.map(port => ({ ...port, isHeldByEngine: true }) as const)
      : config.ports;
    const sandbox = { path, link };
    const to = { network: network.name, addresses, ports, sandbox };
    const { hostLink } = await this.#attachments.attach({ id, engine: 'cni', mac, container, ...to });
    undo.push(`detach ${id}`, () => this.#attachments.detach(id));
    if (aliases.length > 0) await this.#attachments.describe(id, { container, names: aliases });
    undo.commit();
    const dns = config.dns ?? resolverDns(this.#options.resolver, network.name);
    const made = { name: link, mac: `${mac}`, sandbox: environment.netns, hostLink };
    return cniResult(config.cniVersion, { network, addresses, link: made, dns, taken }, config.prevResult);
  }

  async remove(id: string): Promise<void> {
    const attachment = this.#attachments.get(id);
    await this.#attachments.detach(id);
    if (attachment === undefined) return;
    for (const ip of valuesOf(attachment.addresses)) await this.#attachments.release(attachment.network, ip);
  }

  async check({ containerId, link }: CniEnvironment, config: CniConfig): Promise<void> {
    const { prevResult } = config;
    if (prevResult === undefined) throw new CniError('INVALID_CONFIG', 'prevResult is missing');
    const id = attachmentIdOf(config.name, containerId, link);
    const attachment = this.#attachments.get(id);
    if (attachment === undefined)
      throw new CniError('UNKNOWN_CONTAINER', `${containerId} has no link ${link} to ${config.network}`);
    const isThere = (prevResult.interfaces ?? []).some(({ name }) => name === link);
    const drift = [
      ...(isThere ? [] : [`prevResult has no interface ${link}`]),
      ...missingAddresses(attachment.addresses, prevResult),
      ...(await this.#attachments.check(id)),
    ];
    if (drift.length > 0) throw new CniError('CHANGED', drift.join('; '));
  }

  ids(): readonly string[] {
    return this.#attachments.list().flatMap(({ id, engine }) => (engine === 'cni' ? [id] : []));
  }

  async status(config: CniConfig): Promise<void> {
    await this.#ready(config);
  }

  /** As the cluster has it: a list makes no networks. */
  async #ready(config: CniConfig): Promise<ContainerNetwork> {
    const { name, subnets, internal } = findNetwork(this.#attachments, config.network);
    const ipv6 = subnets.ipv6 !== undefined;
    return await this.#attachments.ensure({ name, subnets: {}, gateways: {}, ipv6, internal });
  }
}

/** What the runtime does not remember of the addresses that were given out. */
export function missingAddresses(
  addresses: PerFamily<Ip>,
  { ips }: NonNullable<CniConfig['prevResult']>,
): string[] {
  return familiesOf(addresses)
    .filter(family => !(ips ?? []).some(({ address }) => address.split('/')[0] === `${addresses[family]}`))
    .map(family => `prevResult does not have the address ${addresses[family]}`);
}
