/**
 * What a host's certificate allows of L2 networks themselves: to make one, because an engine on the host wants it
 * (`docker network create -d tulle`). It is made with its VNI, and by nobody's leave can it
 *
 *     be one that there is        to change and to delete one is an administrator's
 *     take addresses of others    of the overlay, of hosts, of another network, of the internet
 *     reach into other hosts      Docker on all of them (`docker`), another port of theirs
 *     be one too many             names and VNIs are for all
 *     take all that is free       a whole private block
 *     flood                       more than what is usual
 */
import { ParseError } from '../base/errors.ts';
import { valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { Segment } from '../subnet/segment/segment.ts';
import {
  isFreeVni,
  overlapProblem,
  type SegmentContext,
  unusableProblem,
} from '../subnet/segment/segment-context.ts';
import { DEFAULT_FLOOD_LIMIT, decodeSegment } from '../subnet/segment/segment-value.ts';

/** Of all hosts; an administrator may make more. */
const MOST_NETWORKS = 1024;
/** IANA's port for VXLAN (RFC 7348), on which every agent listens for L2 networks anyway. */
const PORT = 4789;
/**
 * Prefix lengths of the largest subnets. A sixteenth of 10.0.0.0/8, and all of 172.16.0.0/12; and what one site has of
 * fc00::/7 (RFC 4193, section 3).
 */
const LARGEST = { ipv4: 12, ipv6: 48 } as const;
/** RFC 1918, RFC 4193. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map(text => Prefix.parse(text));

/** A value, or a deletion. */
type Next = { readonly value: Uint8Array; readonly lease: bigint } | undefined;

export interface Making {
  readonly name: string;
  readonly config: Next;
  readonly vni: number;
  /** Of the key of the VNI. */
  readonly owner: Next;
  /** Whether there is something at the key of the network, readable or not. */
  readonly isThere: boolean;
}

/** Why no host may make this network; undefined when any may. */
export function makingProblem(
  { name, config, vni, owner, isThere }: Making,
  context: SegmentContext,
): string | undefined {
  if (config === undefined || owner === undefined || isThere) {
    return 'only an administrator changes and deletes L2 networks';
  }
  if (config.lease !== 0n || owner.lease !== 0n) return 'an L2 network has no expiry';
  let segment: Pick<Segment, 'vni' | 'subnets' | 'docker' | 'port' | 'floodLimit'>;
  try {
    segment = decodeSegment(config.value);
  } catch (error) {
    if (error instanceof ParseError) return error.message;
    throw error;
  }
  if (segment.vni !== vni || new TextDecoder().decode(owner.value) !== name) {
    return `the network ${name} and its VNI do not name each other`;
  }
  if (!isFreeVni(vni, context)) return `the VNI ${vni} is taken`;
  if (segment.docker || segment.port !== PORT) {
    return 'only an administrator makes L2 networks for Docker on all hosts, or on another port';
  }
  if (segment.floodLimit !== DEFAULT_FLOOD_LIMIT) {
    return `only an administrator makes L2 networks with another limit of floods than ${DEFAULT_FLOOD_LIMIT}`;
  }
  if (context.segments.length >= MOST_NETWORKS) {
    return `there are ${context.segments.length} L2 networks; an administrator can make more`;
  }
  for (const subnet of valuesOf(segment.subnets)) {
    const wrong = unusableProblem(subnet) ?? overlapProblem(subnet, context);
    if (wrong !== undefined) return `the subnet ${subnet} ${wrong}`;
    if (!PRIVATE.some(block => block.contains(subnet))) {
      return `${subnet} is not private: only an administrator makes an L2 network of it`;
    }
    if (subnet.length < LARGEST[subnet.family]) {
      return `${subnet} is larger than a /${LARGEST[subnet.family]}: only an administrator makes an L2 network of it`;
    }
  }
  return undefined;
}
