/**
 * Names of containers in the cluster: who is called how on which network, in the store below `<prefix>/names/`.
 * The overlay has the name `default` among the networks.
 */
import type { Ip } from '../../base/ip.ts';
import { isSegmentName } from '../segment/segment.ts';

/** All names of one address on one network. */
export interface NamedAddress {
  readonly network: string;
  readonly ip: Ip;
  /** The name of the container first, then its aliases; as `toDnsName` makes them, each once. */
  readonly names: readonly string[];
  readonly hostId: string;
  readonly hostName?: string;
}

/** What a host says of its own. */
export type OwnNamedAddress = Omit<NamedAddress, 'hostId' | 'hostName'>;

/** What this host says of its own containers: the whole of it, each time. */
export interface OwnNames {
  /**
   * Published as soon as the store answers, taken back when they are no longer stated.
   * @param named the names as people gave them: what none can ask for is left out, here and nowhere else
   * @param unknown networks of which is not known yet what is on them: what the store has of this host there stays
   */
  set(named: readonly OwnNamedAddress[], unknown?: ReadonlySet<string>): void;
}

/** What the cluster has: kept while the store is away. */
export interface KnownNames {
  /** Addresses of a name on one network, in no order. The name is in lower case. */
  lookup(network: string, name: string): readonly Ip[];
  /** Names of an address, on whichever network; those of one host in their order. */
  reverse(ip: Ip): readonly { readonly network: string; readonly name: string }[];
  /** Whether anything on the network has a name. */
  hasNetwork(network: string): boolean;
}

/** How the overlay is called among the networks. */
export const OVERLAY_NAMES = 'default';

/** Of one address; a name more says nothing new. */
export const MOST_NAMES = 16;
/** Characters of a name, so that its network and the zone fit behind it in a name of DNS. */
const MOST_CHARACTERS = 128;
/** Characters of all names of an address, so that they fit into a value of the store. */
const MOST_IN_ALL = 1400;

/**
 * The name by which others find a container that is called so: in lower case, as DNS knows no other. What Docker permits is
 * kept (underscores, and dots, which make several labels of it) but for what cannot be asked for: an empty label, one
 * of more than 63 characters (RFC 1035, section 2.3.4).
 */
export function toDnsName(text: string): string | undefined {
  const name = text.toLowerCase();
  const labels = name.split('.');
  const isName = labels.every(label => /^[a-z0-9_-]{1,63}$/.test(label));
  return isName && name.length <= MOST_CHARACTERS ? name : undefined;
}

/** The names out of these that are published for one address. */
export function namesToPublish(texts: readonly string[]): readonly string[] {
  const names = new Set<string>();
  let left = MOST_IN_ALL;
  for (const text of texts) {
    const name = toDnsName(text);
    if (name === undefined || names.has(name) || names.size === MOST_NAMES || name.length > left) continue;
    names.add(name);
    left -= name.length;
  }
  return [...names];
}

/** Whether containers can be called something there. */
export function isNetworkOfNames(name: string): boolean {
  return name === OVERLAY_NAMES || isSegmentName(name);
}
