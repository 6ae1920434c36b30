/**
 * The attachments of a host without a kernel and without a store, for tests of what engines ask of them. It holds to the
 * contract: the same errors, the same idempotence, addresses in the same order. What it does not do is on nobody's disk.
 *
 *     const attachments = new FakeAttachments();
 *     attachments.failures.attach = new AttachmentError('NOT_READY', 'no underlay');   the next call fails so
 */

import type { Ip } from '../../base/ip.ts';
import { familiesOf, mapFamilies, type PerFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { nextFree } from '../../ipam/next-free.ts';
import { attachmentLinks, isAttachmentId } from '../../network/attachment/attachment-links.ts';
import {
  type AddressWish,
  AttachmentError,
  type Attachments,
  type AttachWish,
  type ContainerAttachment,
  type ContainerEngine,
  type ContainerNetwork,
  type NetworkWish,
  OVERLAY_NETWORK,
  type PublishedMapping,
} from '../../network/attachment/attachments.ts';
import { arePublished } from '../../network/attachment/check-wish.ts';
import type { PortMapping } from '../../network/attachment/port-mapping.ts';

interface HeldAddress {
  readonly wish: AddressWish;
  readonly ip: Ip;
  readonly since: number;
  /** Freed when nothing is attached with it any more. */
  isReleased: boolean;
}

interface FakeNetwork {
  readonly network: ContainerNetwork;
  /** By `Ip.key`. */
  readonly held: Map<number | bigint, HeldAddress>;
  /** What a container had last, by its name and the family. */
  readonly kept: Map<string, Ip>;
  readonly last: Map<string, Ip>;
}

/** The overlay of a host that leased 10.3.4.0/24. */
export const FAKE_OVERLAY: ContainerNetwork = {
  name: OVERLAY_NETWORK,
  kind: 'overlay',
  subnets: { ipv4: Prefix.parse('10.3.4.0/24') },
  networks: { ipv4: Prefix.parse('10.3.0.0/16') },
  gateways: { ipv4: Prefix.parse('10.3.4.0/24').ip.plus(1) },
  internal: false,
  bridge: 'tulle0',
  mtu: 1450,
};

export class FakeAttachments implements Attachments {
  /** The next call of a method rejects with this, once. */
  readonly failures: Partial<Record<keyof Attachments, Error>> = {};
  /** Every call that changes something, in order: `attach 5f2c`. */
  readonly calls: string[] = [];
  /** What `check` says of an attachment. */
  readonly drift = new Map<string, readonly string[]>();
  readonly #networks = new Map<string, FakeNetwork>();
  readonly #attached = new Map<string, { attachment: ContainerAttachment; readonly since: number }>();

  constructor(networks: readonly ContainerNetwork[] = [FAKE_OVERLAY]) {
    for (const network of networks) this.add(network);
  }

  /** As if the cluster had it. */
  add(network: ContainerNetwork): void {
    this.#networks.set(network.name, { network, held: new Map(), kept: new Map(), last: new Map() });
  }

  /** Addresses that are held on a network. */
  held(network: string): readonly Ip[] {
    return [...(this.#networks.get(network)?.held.values() ?? [])].map(({ ip }) => ip);
  }

  find(name: string): ContainerNetwork | undefined {
    return this.#networks.get(name)?.network;
  }

  networks(): readonly ContainerNetwork[] {
    return [...this.#networks.values()]
      .map(({ network }) => network)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async ensure(wish: NetworkWish): Promise<ContainerNetwork> {
    this.#called('ensure', wish.name);
    const present = this.find(wish.name);
    if (present !== undefined) {
      const differing = familiesOf(wish.subnets).filter(
        family => wish.subnets[family]?.equals(present.subnets[family]) !== true,
      );
      const gateway = familiesOf(wish.gateways).find(
        family => wish.gateways[family]?.equals(present.gateways[family]) !== true,
      );
      if (differing.length > 0 || gateway !== undefined || wish.internal !== present.internal) {
        throw new AttachmentError('DIFFERENT_NETWORK', `the network ${wish.name} is another one`);
      }
      return present;
    }
    const free = this.#networks.size;
    const subnets: PerFamily<Prefix> = {
      ipv4: wish.subnets.ipv4 ?? Prefix.parse(`10.${128 + free}.0.0/16`),
      ...((wish.ipv6 || wish.subnets.ipv6) && {
        ipv6: wish.subnets.ipv6 ?? Prefix.parse(`fd00:0:0:${free.toString(16)}::/64`),
      }),
    };
    this.add({
      name: wish.name,
      kind: 'segment',
      subnets,
      networks: subnets,
      gateways: wish.internal
        ? {}
        : mapFamilies(subnets, ({ ip }, family) => wish.gateways[family] ?? ip.plus(1)),
      internal: wish.internal,
      bridge: `tb-${wish.name}`.slice(0, 15),
      mtu: wish.mtu ?? 1450,
    });
    return this.find(wish.name) as ContainerNetwork;
  }

  async reserve(name: string, wish: AddressWish): Promise<Ip> {
    this.#called('reserve', `${name} ${wish.ip ?? wish.family}`);
    const { network, held, kept, last } = this.#network(name);
    const { family } = wish;
    const subnet = network.subnets[family];
    if (subnet === undefined) throw new AttachmentError('INVALID_WISH', `${name} has no ${family}`);
    const isUsable = (one: Ip) =>
      subnet.contains(one) &&
      !one.equals(subnet.ip) &&
      !(family === 'ipv4' && one.equals(subnet.last)) &&
      network.gateways[family]?.equals(one) !== true;
    const had = kept.get(`${wish.container} ${family}`);
    const sticky = wish.keep && had !== undefined && !held.has(had.key) ? had : undefined;
    const isKept = (one: Ip) => [...kept.values()].some(ip => ip.equals(one));
    const next = (isTaken: (one: Ip) => boolean) =>
      nextFree([subnet], last.get(family), one => !isUsable(one) || held.has(one.key) || isTaken(one));
    const ip = wish.ip ?? sticky ?? next(isKept) ?? next(() => false);
    if (ip === undefined) throw new AttachmentError('NO_ADDRESS', `${name} has no free address`);
    if (!isUsable(ip)) throw new AttachmentError('INVALID_WISH', `${ip} is no address for a container`);
    const holder = held.get(ip.key)?.wish;
    const isSame =
      holder?.engine === wish.engine && holder.container === wish.container && holder.mac.equals(wish.mac);
    if (holder !== undefined && !isSame) {
      throw new AttachmentError('ADDRESS_TAKEN', `${ip} is the address of ${holder.container}`);
    }
    held.set(ip.key, { wish, ip, since: performance.now(), isReleased: false });
    if (wish.ip === undefined && sticky === undefined) last.set(family, ip);
    if (wish.keep) kept.set(`${wish.container} ${family}`, ip);
    return ip;
  }

  async release(name: string, ip: Ip): Promise<void> {
    this.#called('release', `${name} ${ip}`);
    const network = this.#networks.get(name);
    const holding = network?.held.get(ip.key);
    if (holding === undefined) return;
    if (this.list().some(one => one.network === name && one.addresses[ip.family]?.equals(ip))) {
      holding.isReleased = true;
    } else network?.held.delete(ip.key);
  }

  async attach(wish: AttachWish): Promise<ContainerAttachment> {
    this.#called('attach', wish.id);
    const { held } = this.#network(wish.network);
    const found = this.#attached.get(wish.id);
    if (found !== undefined && isSame(found.attachment, wish)) {
      if (arePublished(found.attachment.ports, wish.ports)) return found.attachment;
      found.attachment = { ...found.attachment, ports: this.#publish(wish) };
      return found.attachment;
    }
    if (!isAttachmentId(wish.id)) throw new AttachmentError('INVALID_WISH', 'that is no id');
    for (const ip of valuesOf(wish.addresses)) {
      const holder = held.get(ip.key);
      const user = this.list().find(
        one => one.id !== wish.id && one.network === wish.network && one.addresses[ip.family]?.equals(ip),
      );
      if (holder === undefined || holder.wish.engine !== wish.engine) {
        throw new AttachmentError('INVALID_WISH', `${ip} is not reserved`);
      }
      if (user !== undefined)
        throw new AttachmentError('ADDRESS_TAKEN', `${ip} is the address of ${user.container}`);
    }
    const { sandbox, ...rest } = wish;
    const links = attachmentLinks(wish.id);
    const ports = this.#publish(wish);
    const attachment: ContainerAttachment = {
      ...rest,
      ports,
      hostLink: links.host,
      containerLink: sandbox?.link ?? links.container,
      names: [],
    };
    this.#attached.set(wish.id, { attachment, since: performance.now() });
    return attachment;
  }

  async detach(id: string): Promise<boolean> {
    this.#called('detach', id);
    const found = this.#attached.get(id)?.attachment;
    if (found === undefined) return false;
    this.#attached.delete(id);
    const held = this.#networks.get(found.network)?.held;
    for (const ip of valuesOf(found.addresses)) if (held?.get(ip.key)?.isReleased) held.delete(ip.key);
    return true;
  }

  get(id: string): ContainerAttachment | undefined {
    return this.#attached.get(id)?.attachment;
  }

  list(): readonly ContainerAttachment[] {
    return [...this.#attached.values()].map(({ attachment }) => attachment);
  }

  async check(id: string): Promise<readonly string[]> {
    this.#called('check', id);
    if (!this.#attached.has(id)) throw new AttachmentError('NOT_FOUND', `nothing is attached as ${id}`);
    return this.drift.get(id) ?? [];
  }

  async describe(
    id: string,
    { container, names }: { readonly container: string; readonly names: readonly string[] },
  ): Promise<void> {
    this.#called('describe', `${id} ${container}`);
    const found = this.#attached.get(id);
    if (found !== undefined) found.attachment = { ...found.attachment, container, names };
  }

  async reconcile(
    engine: ContainerEngine,
    { ids, ips }: { readonly ids: ReadonlySet<string>; readonly ips: readonly { network: string; ip: Ip }[] },
    since: number,
  ): Promise<void> {
    this.#called('reconcile', engine);
    for (const [id, { attachment, since: made }] of this.#attached) {
      if (attachment.engine === engine && !ids.has(id) && made <= since) await this.detach(id);
    }
    for (const [name, { held }] of this.#networks) {
      const present = new Set(ips.filter(({ network }) => network === name).map(({ ip }) => ip.key));
      for (const [key, { wish, ip, since: made }] of held) {
        if (wish.engine === engine && !present.has(key) && made <= since) await this.release(name, ip);
      }
    }
  }

  #publish({ id, ports }: AttachWish): readonly PublishedMapping[] {
    const others = this.list().flatMap(one => (one.id === id ? [] : one.ports));
    const taken = new Set(others.map(({ protocol, hostPort }) => `${protocol} ${hostPort}`));
    return ports.map(mapping => {
      const hostPort = freePort(mapping, port => taken.has(`${mapping.protocol} ${port}`));
      if (hostPort === undefined)
        throw new AttachmentError('PORT_TAKEN', `port ${mapping.hostPort} is taken`);
      taken.add(`${mapping.protocol} ${hostPort}`);
      return { ...mapping, hostPort };
    });
  }

  #network(name: string): FakeNetwork {
    const found = this.#networks.get(name);
    if (found === undefined) throw new AttachmentError('NOT_FOUND', `there is no network ${name}`);
    return found;
  }

  #called(method: keyof Attachments, what: string): void {
    this.calls.push(`${method} ${what}`);
    const failure = this.failures[method];
    delete this.failures[method];
    if (failure !== undefined) throw failure;
  }
}

const isSame = (present: ContainerAttachment, wish: AttachWish) =>
  present.network === wish.network &&
  present.mac.equals(wish.mac) &&
  valuesOf(wish.addresses).every(ip => present.addresses[ip.family]?.equals(ip));

/** Linux chooses among 32768 to 60999 (net.ipv4.ip_local_port_range). */
function freePort(
  { hostPort: first = 32768, hostPort, hostPortEnd }: PortMapping,
  isTaken: (port: number) => boolean,
): number | undefined {
  const last = hostPortEnd ?? hostPort ?? 60999;
  for (let port = first; port <= last; port++) if (!isTaken(port)) return port;
  return undefined;
}
