/** What differs between what this host has on its L2 networks and what the store says of it. */
import { valuesOf } from '../../base/per-family.ts';
import type { StoreLeaseId } from '../../store/store.ts';
import type {
  Segment,
  SegmentEndpoint,
  SegmentMember,
  SegmentSnapshot,
  SegmentsSnapshot,
  Stored,
} from './segment.ts';

/** What this host wants published of itself on one network. Undefined is unknown yet: what the store has stays. */
export interface WantedPresence {
  /** Null: nothing is on the bridge. */
  readonly member: SegmentMember | null | undefined;
  /** All that is seen of containers, by `Ip.key`. */
  readonly endpoints: EndpointMap | undefined;
  /** What was given to containers, whether it is seen yet or not. */
  readonly given: EndpointMap;
}

export type EndpointMap = ReadonlyMap<number | bigint, SegmentEndpoint>;

export interface PresencePlan {
  readonly join: SegmentMember | undefined;
  readonly leave: boolean;
  readonly claim: readonly SegmentEndpoint[];
  readonly release: readonly SegmentEndpoint[];
  /** Wanted here, and another's in the store. */
  readonly conflicts: readonly EndpointConflict[];
}

/** Two have one address, or one MAC address where their hosts differ. */
export interface EndpointConflict {
  readonly segment: string;
  readonly endpoint: SegmentEndpoint;
  readonly owner: SegmentEndpoint;
}

export const isMacConflict = ({ endpoint, owner }: EndpointConflict) => !endpoint.ip.equals(owner.ip);

export interface OwnPresence {
  readonly hostId: string;
  readonly storeLease: StoreLeaseId;
  /** Whether a key was written after the snapshot was made, which says nothing about it then. */
  readonly isWritten: (what: string) => boolean;
}

/** What `isWritten` is asked for: this, or an address. */
export const MEMBER = 'member';

export function planPresence(
  { segment, members, endpoints, refused }: SegmentSnapshot,
  wanted: WantedPresence,
  { hostId, storeLease, isWritten }: OwnPresence,
): PresencePlan {
  const present = members.get(hostId);
  const { member } = wanted;
  const isOurs = present?.storeLease === storeLease && !present.forgotten;
  const differs = member && !(isOurs && isSameMember(present, member));
  const all = allWanted(wanted);
  const claim: SegmentEndpoint[] = [];
  const release: SegmentEndpoint[] = [];
  const conflicts: EndpointConflict[] = [];
  const others = [...endpoints.values()].filter(endpoint => endpoint.hostId !== hostId);
  const ownerOfMac = new Map(others.map(endpoint => [endpoint.mac.key, endpoint]));
  for (const [key, endpoint] of all) {
    const found = endpoints.get(key);
    const owner = found !== undefined && found.hostId !== hostId ? found : ownerOfMac.get(endpoint.mac.key);
    if (owner !== undefined) conflicts.push({ segment: segment.name, endpoint, owner });
    else if (!isWritten(`${endpoint.ip}`) && !isPublished(found, endpoint, storeLease)) claim.push(endpoint);
  }
  for (const endpoint of refused) {
    const isOwn = endpoint.hostId === hostId && !endpoint.forgotten;
    if (isOwn && !isWritten(`${endpoint.ip}`)) release.push(endpoint);
  }
  if (wanted.endpoints !== undefined) {
    for (const [key, endpoint] of endpoints) {
      const isOwn = endpoint.hostId === hostId && !all.has(key);
      if (isOwn && !isWritten(`${endpoint.ip}`)) release.push(endpoint);
    }
  }
  return {
    join: differs && !isWritten(MEMBER) ? member : undefined,
    leave: member === null && present !== undefined && !isWritten(MEMBER),
    claim,
    release,
    conflicts,
  };
}

/** What is seen is newer than what was given. */
export function allWanted({ given, endpoints = NONE }: WantedPresence): EndpointMap {
  return new Map([...given, ...endpoints]);
}

export const mapOf = (endpoints: readonly SegmentEndpoint[]): EndpointMap =>
  new Map(endpoints.map(endpoint => [endpoint.ip.key, endpoint]));

const NONE: EndpointMap = new Map();

export const NOTHING_WANTED: WantedPresence = { member: undefined, endpoints: undefined, given: NONE };

function isPublished(
  found: Stored<SegmentEndpoint> | undefined,
  { mac, container, hostName }: SegmentEndpoint,
  storeLease: StoreLeaseId,
): boolean {
  if (found === undefined || found.forgotten || found.storeLease !== storeLease) return false;
  return found.mac.equals(mac) && found.container === container && found.hostName === hostName;
}

const isSameMember = (a: SegmentMember, b: SegmentMember) => memberText(a) === memberText(b);

/** All that others see of it. */
export const memberText = ({ hostName, addresses, mac }: SegmentMember): string =>
  `${hostName} ${mac} ${valuesOf(addresses).join(' ')}`;

/** Not a later one of the same name. */
export function findSegment(
  { segments }: SegmentsSnapshot,
  { name, id }: Segment,
): SegmentSnapshot | undefined {
  const found = segments.get(name);
  return found?.segment.id === id ? found : undefined;
}

/** The store leases on which keys of this host are: of a former run of its agent. */
export function storeLeasesOf(
  { members, endpoints }: SegmentSnapshot,
  hostId: string,
): readonly StoreLeaseId[] {
  const own = [...members.values(), ...endpoints.values()].filter(one => one.hostId === hostId);
  return [...new Set(own.map(({ storeLease }) => storeLease))];
}

export const nameOfConflict = ({ segment, endpoint: { ip, container }, owner }: EndpointConflict) =>
  `${segment} ${ip} ${container} ${owner.hostId} ${owner.container}`;
