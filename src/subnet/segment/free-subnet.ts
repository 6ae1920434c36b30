/**
 * A subnet for an L2 network that nobody has given one: free in the cluster, and on the host that makes it. Where to begin
 * follows from the name, so that networks that are made at the same moment are not all after the same one.
 */
import { randomBytes } from 'node:crypto';
import { fnv1a } from '../../base/fnv.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { overlapProblem, type SegmentContext } from './segment-context.ts';

export interface FreeSubnetWish {
  /** Of the network. */
  readonly name: string;
  readonly family: Family;
  /** What this host has an address in, or a route to. */
  readonly taken: readonly Prefix[];
  /** 5 bytes, anew with each call. */
  readonly random?: () => Uint8Array;
}

/** Of IPv6 the second one that is drawn is as good as free. */
const DRAWS = 8;
const OCTETS = 256;

/** @returns undefined when every private one is in use */
export function freeSubnet(
  { name, family, taken, random = () => randomBytes(5) }: FreeSubnetWish,
  context: SegmentContext,
): Prefix | undefined {
  const candidates =
    family === 'ipv4' ? privateSubnets(name) : Array.from({ length: DRAWS }, () => uniqueLocal(random()));
  return candidates.find(
    subnet => overlapProblem(subnet, context) === undefined && !taken.some(one => one.overlaps(subnet)),
  );
}

/** Private addresses (RFC 1918) in blocks of /16; those in which Docker makes its own networks come last. */
function privateSubnets(name: string): readonly Prefix[] {
  const first = fnv1a(new TextEncoder().encode(name));
  const tens = Array.from({ length: OCTETS }, (_, step) => `10.${(first + step) % OCTETS}.0.0/16`);
  const others = Array.from({ length: 16 }, (_, step) => `172.${31 - step}.0.0/16`);
  return [...tens, ...others].map(Prefix.parse);
}

/** fd00::/8 and a global id of 40 bits, which is drawn (RFC 4193, section 3.2); the first of its /64. */
function uniqueLocal(globalId: Uint8Array): Prefix {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(globalId.subarray(0, 5), 1);
  return Prefix.of(Ip.fromBytes(bytes), 64);
}
