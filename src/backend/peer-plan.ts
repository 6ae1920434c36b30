/** What every backend asks of a lease before it makes a path of it, family by family. */
import { FAMILY_LABELS, type Family, type Ip } from '../base/ip.ts';
import { mapFamilies, type PerFamily, valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import type { PeerPath } from '../dataplane/desired.ts';
import { LEASE_MEMBERS } from '../subnet/lease/attributes.ts';
import type { Lease, LeaseAttributes } from '../subnet/lease/lease.ts';
import type { PeerPlan } from './backend.ts';

/** One family of a peer. */
export interface PeerFamily {
  readonly family: Family;
  readonly subnet: Prefix;
  /** Where packets for the peer go. */
  readonly underlayIp: Ip;
  /** What the backend of the peer publishes, and the name of that member of the lease. */
  readonly data: unknown;
  readonly dataName: string;
  readonly tunnelPort?: number;
}

/**
 * @param type of the backend of this network
 * @param own what this host has for each family that it carries: a device, say
 * @param toPath the way to the peer, or why there is none, as a sentence about "it"
 */
export function planPeer<T>(
  { subnet, attributes }: Lease,
  type: string,
  own: PerFamily<T>,
  toPath: (peer: PeerFamily, own: T) => PeerPath | string,
): PeerPlan {
  if (!isOfType(attributes, type)) return { paths: [], problems: [otherType(attributes, type)] };
  const results = mapFamilies(own, (ours, family) => {
    const block = subnet[family];
    if (block === undefined) return undefined;
    const underlayIp = attributes.publicIp[family];
    if (underlayIp === undefined) return `it has no public ${FAMILY_LABELS[family]} address`;
    const peer = {
      family,
      subnet: block,
      underlayIp,
      ...dataOf(attributes, family),
      ...tunnelPortOf(attributes),
    };
    return toPath(peer, ours);
  });
  const all = valuesOf(results);
  return {
    paths: all.filter(result => typeof result !== 'string'),
    problems: all.filter(result => typeof result === 'string'),
  };
}

/** Backends that flannel writes no BackendType for. */
const UNNAMED = ['alloc', 'tencent-vpc', 'udp'];

function isOfType({ backendType }: LeaseAttributes, type: string): boolean {
  return backendType === undefined ? UNNAMED.includes(type) : backendType === type;
}

/** The data of one family, and the name of that member of the lease. */
export function dataOf(
  { backendData }: LeaseAttributes,
  family: Family,
): Pick<PeerFamily, 'data' | 'dataName'> {
  return { data: backendData?.[family], dataName: LEASE_MEMBERS[family].backendData };
}

const tunnelPortOf = ({ tunnelPort }: LeaseAttributes) => (tunnelPort === undefined ? {} : { tunnelPort });

function otherType({ backendType }: LeaseAttributes, type: string): string {
  const named =
    backendType === undefined ? 'no backend type, as udp and alloc have it' : `the backend ${backendType}`;
  return `it is published with ${named}, and this network uses ${type}`;
}
