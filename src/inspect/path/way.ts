/** The way of one packet over one host, while it is walked: what is known of packet and host, and the hops so far. */
import type { Carrier, Walk, WalkFault, WalkHop, WalkReport } from '../../api/walk.ts';
import { ParseError } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import type { RoutedPacket } from '../../netlink/route/rtnetlink.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import type { Container, ContainerLink } from '../host/containers.ts';
import type { HostReader } from '../host/host-reader.ts';

/** IPPROTO_*, include/uapi/linux/in.h. */
const PROTOCOLS = {
  icmp: { ipv4: 1, ipv6: 58 },
  tcp: { ipv4: 6, ipv6: 6 },
  udp: { ipv4: 17, ipv6: 17 },
} as const;

/** A container's end with an address. */
export interface Holder extends ContainerLink {
  readonly container: Container;
  readonly address: Address;
}

export class PacketWay {
  readonly host: HostReader;
  readonly name: string;
  readonly nameOf: NameOf;
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** As they are at this step: translations change them. */
  from: Ip;
  to: Ip;
  toPort: number | undefined;
  readonly hops: WalkHop[] = [];
  carrier: Carrier | undefined;
  /** The link of the underlay. */
  uplink: Link | undefined;
  arrives: WalkReport['arrives'];
  readonly blind: string[] = [];
  /** A rule of this host has changed its destination. */
  isRedirected = false;
  readonly #walk: Walk;

  private constructor(
    walk: Walk,
    host: HostReader,
    known: Pick<PacketWay, 'name' | 'nameOf' | 'links' | 'addresses'>,
  ) {
    this.#walk = walk;
    this.from = Ip.parse(walk.from);
    this.to = Ip.parse(walk.to);
    this.toPort = walk.toPort;
    this.host = host;
    this.name = known.name;
    this.nameOf = known.nameOf;
    this.links = known.links;
    this.addresses = known.addresses;
  }

  /** @throws ParseError for a packet that there is none of; NetlinkError, SysError when the namespace cannot be read */
  static async begin(host: HostReader, walk: Walk): Promise<PacketWay> {
    if (Ip.parse(walk.from).family !== Ip.parse(walk.to).family)
      throw new ParseError('a packet', `${walk.from} > ${walk.to}`, 'its addresses are of two families');
    const [name, nameOf, links, addresses] = await Promise.all([
      host.name(),
      host.nameOf(),
      host.links(),
      host.addresses(),
    ]);
    return new PacketWay(walk, host, { name, nameOf, links, addresses });
  }

  /** What a lookup has to know of the packet. */
  get packet(): RoutedPacket {
    const { protocol } = this.#walk;
    return { source: this.from, protocol: PROTOCOLS[protocol][this.to.family], toPort: this.toPort };
  }

  get protocol(): Walk['protocol'] {
    return this.#walk.protocol;
  }

  /** Whether rules may translate it; of later packets connection tracking alone decides. */
  get opens(): boolean {
    return this.#walk.opens === true;
  }

  /** Of an answer. */
  get restored(): NonNullable<Walk['restored']> {
    return this.#walk.restored ?? {};
  }

  get isTranslated(): boolean {
    return this.#translated !== undefined;
  }

  get #translated(): { readonly from: string; readonly to: string } | undefined {
    const { from, to } = this.#walk;
    const now = { from: String(this.from), to: String(this.to) };
    return now.from === from && now.to === to && this.toPort === this.#walk.toPort ? undefined : now;
  }

  redirect(to: Ip, toPort: number | undefined): void {
    this.to = to;
    this.toPort = toPort;
    this.isRedirected = true;
  }

  /** @returns whether the way goes on after it */
  add(hop: WalkHop): boolean {
    const translated = this.#translated;
    this.hops.push(translated === undefined ? hop : { ...hop, translated });
    return hop.fault === undefined;
  }

  link(index: number | undefined): Link | undefined {
    return this.links.find(link => link.index === index);
  }

  /** The link of this host with an address, and the address. */
  own(ip: Ip): { readonly link: Link; readonly address: Address } | undefined {
    const address = this.addresses.find(one => one.ip.equals(ip));
    const link = this.link(address?.index);
    return address === undefined || link === undefined ? undefined : { link, address };
  }

  /** The container with an address. One that cannot be read has none. */
  async holder(ip: Ip): Promise<Holder | undefined> {
    for (const container of await this.host.containers()) {
      const addresses = await container.inside.addresses().catch(() => []);
      const address = addresses.find(one => one.ip.equals(ip));
      if (address === undefined) continue;
      const link = container.links.find(({ inner }) => inner.index === address.index) ?? container.links[0];
      if (link !== undefined) return { ...link, container, address };
    }
    return undefined;
  }

  report(fastPath?: WalkReport['fastPath']): WalkReport {
    const translated = this.#translated;
    return {
      host: this.name,
      hops: this.hops,
      ...(this.carrier !== undefined && { carrier: this.carrier }),
      ...(translated !== undefined && {
        translated: { ...translated, ...(this.toPort !== undefined && { toPort: this.toPort }) },
      }),
      ...(fastPath !== undefined && { fastPath }),
      ...(this.arrives !== undefined && { arrives: this.arrives }),
      blind: this.blind,
    };
  }
}

/** The first that is one. */
export function firstFault(...faults: readonly (WalkFault | false | undefined)[]): { fault?: WalkFault } {
  for (const fault of faults) if (fault) return { fault };
  return {};
}

/** A link that carries nothing. @param enter what stands before a command that is run where the link is */
export function linkFault({ name, up, running }: Link, enter: readonly string[] = []): WalkFault | undefined {
  const command = (line: string) => [...enter, line].join(' ');
  if (!up) return { reason: `${name} is down.`, remedy: command(`ip link set ${name} up`) };
  if (running) return undefined;
  return {
    reason: `${name} has no carrier: what it is connected to is down.`,
    remedy: command(`ip link show ${name}`),
  };
}
