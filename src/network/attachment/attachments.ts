/**
 * What container engines ask of this host: a network by its name, an address on it, and a link into a container. Docker's
 * plugin, CNI and netavark speak to this and to nothing else, so that a container is the same whoever runs it.
 *
 *     find / ensure ─> reserve ─> attach ─> describe ... detach ─> release
 *
 * Every call may come twice, late, or for something that is gone: each is idempotent. All of it is on the disk of this
 * host, so that a restarted agent goes on where the former one was; `reconcile` removes what an engine no longer has.
 */
import { TulleError } from '../../base/errors.ts';
import type { Family, Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { PerFamily } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { PortMapping } from './port-mapping.ts';

/** Who runs a container. */
export type ContainerEngine = (typeof CONTAINER_ENGINES)[number];

/** `cni-ipam` attaches nothing: addresses of the overlay for links that other plugins of CNI make, on a bridge of theirs. */
const CONTAINER_ENGINES = ['docker', 'cni', 'cni-ipam', 'netavark'] as const;

export const isContainerEngine = (text: string): text is ContainerEngine =>
  CONTAINER_ENGINES.some(engine => engine === text);

/** The name of the overlay among the networks of containers: addresses of the subnet that this host leased. */
export const OVERLAY_NETWORK = 'default';

/** A network of the cluster as this host has it: the overlay, or an L2 network. */
export interface ContainerNetwork {
  readonly name: string;
  readonly kind: 'overlay' | 'segment';
  /** What containers are on: all of an L2 network, the leased subnet of the overlay. */
  readonly subnets: PerFamily<Prefix>;
  /** What the network reaches over all hosts. */
  readonly networks: PerFamily<Prefix>;
  /** Addresses of this host on the bridge; none for an internal network. */
  readonly gateways: PerFamily<Ip>;
  readonly internal: boolean;
  /** Name of the bridge. */
  readonly bridge: string;
  /** Bytes, of the links of containers. */
  readonly mtu: number;
}

/** A network that is to be: joined where the cluster has one of that name, and made otherwise. */
export interface NetworkWish {
  readonly name: string;
  /** Must be those of a network that is there; absent for a family: those that it has, or free ones. */
  readonly subnets: PerFamily<Prefix>;
  readonly gateways: PerFamily<Ip>;
  readonly ipv6: boolean;
  readonly internal: boolean;
  readonly mtu?: number;
}

/** An address that is to be held until it is released. */
export interface AddressWish {
  readonly family: Family;
  /** Absent: the one that `container` had last where the address is to be kept, else the next free one of this host. */
  readonly ip?: Ip;
  readonly mac: Mac;
  readonly engine: ContainerEngine;
  /** For people; `describe` may correct it. See `isContainerName`. */
  readonly container: string;
  /** Keep the address for a container of this name after its release, as long as there are others. */
  readonly keep?: boolean;
}

/** A link into a container that is to be. */
export interface AttachWish {
  /** Unique on this host: the endpoint id of Docker, `CONTAINER/IFNAME` of CNI. 1 to 100 printable ASCII
   * characters without spaces. */
  readonly id: string;
  readonly engine: ContainerEngine;
  readonly network: string;
  /** Reserved before. */
  readonly addresses: PerFamily<Ip>;
  readonly mac: Mac;
  readonly container: string;
  readonly ports: readonly PortMapping[];
  /**
   * The namespace of the container, and what its link is called there. Absent: both ends are in the namespace of this host,
   * the container's one without addresses, and the engine moves it (Docker).
   */
  readonly sandbox?: { readonly path: string; readonly link: string };
}

/** What is attached. */
export interface ContainerAttachment extends Omit<AttachWish, 'sandbox'> {
  /** Name of the host's end, a port of the bridge. */
  readonly hostLink: string;
  /** Name of the container's end, as it was made. */
  readonly containerLink: string;
  /** Further names by which other containers find it. */
  readonly names: readonly string[];
  readonly ports: readonly PublishedMapping[];
}

/** A port as it is published: the host's port is known. */
export type PublishedMapping = Required<Pick<PortMapping, 'hostPort'>> & PortMapping;

export type AttachmentErrorCode =
  /** No network of that name, no attachment of that id. */
  | 'NOT_FOUND'
  /** The network is there, and differs from what is wanted. */
  | 'DIFFERENT_NETWORK'
  /** The network cannot be used on this host now: no underlay, no lease. */
  | 'NOT_READY'
  /** What is wanted cannot be: an address outside of the network, a name that none can have. */
  | 'INVALID_WISH'
  /** A port of this host that is to be published is another's. */
  | 'PORT_TAKEN'
  /** Another container has the address, or the MAC address. */
  | 'ADDRESS_TAKEN'
  /** Every address that this host can give is given out. */
  | 'NO_ADDRESS'
  /** The bridge has as many ports as a bridge can have. */
  | 'NO_ROOM';

/** A container cannot be attached, and why. */
export class AttachmentError extends TulleError<AttachmentErrorCode> {}

/** The attachments of this host. Every promise but that of `reconcile` settles in time (deadline.ts), unless the kernel itself hangs. */
export interface Attachments {
  find(name: string): ContainerNetwork | undefined;
  /** All that containers can be put on, in the order of their names. */
  networks(): readonly ContainerNetwork[];
  /** Joins or makes the network, and waits until its bridge is in place. @throws AttachmentError, SegmentError, StoreError */
  ensure(wish: NetworkWish): Promise<ContainerNetwork>;
  /** Also while the store is away, out of ranges that this host has. @throws AttachmentError */
  reserve(network: string, wish: AddressWish): Promise<Ip>;
  /** Of an address that nobody holds: nothing to do. */
  release(network: string, ip: Ip): Promise<void>;
  /** All of it or nothing; one with this id that is as wished stays, and gets the ports of this wish. @throws AttachmentError */
  attach(wish: AttachWish): Promise<ContainerAttachment>;
  /** Removes link, ports and names; the addresses stay reserved. False when there is none. */
  detach(id: string): Promise<boolean>;
  get(id: string): ContainerAttachment | undefined;
  list(): readonly ContainerAttachment[];
  /** What differs from how it was made, one sentence each: a link, an address, a route, a rule. @throws AttachmentError */
  check(id: string): Promise<readonly string[]>;
  /** What became known of a container later: its name and its aliases. Unknown ids are passed over. */
  describe(
    id: string,
    known: { readonly container: string; readonly names: readonly string[] },
  ): Promise<void>;
  /**
   * States all that an engine still has: what else is attached or reserved for it is removed.
   * @param since what was made later than this moment of `performance.now()` is left alone: the engine may not have told of it
   */
  reconcile(
    engine: ContainerEngine,
    present: { readonly ids: ReadonlySet<string>; readonly ips: readonly { network: string; ip: Ip }[] },
    since: number,
  ): Promise<void>;
}
