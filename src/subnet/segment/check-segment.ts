/** Whether an L2 network can be made as an administrator wants it: every problem at once. */

import { defined } from '../../base/defined.ts';
import type { Problem } from '../../base/errors.ts';
import { ADDRESS_BITS, FAMILY_LABELS, Ip } from '../../base/ip.ts';
import { LEAST_MTU } from '../../base/mtu.ts';
import {
  byFamily,
  familiesOf,
  mapFamilies,
  type PerFamily,
  perFamily,
  valuesOf,
} from '../../base/per-family.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { isSegmentName, RESERVED_NAMES } from './segment.ts';
import { isFreeVni, overlapProblem, type SegmentContext, unusableProblem } from './segment-context.ts';
import { isVni, MOST_VNI } from './segment-key.ts';
import { DEFAULT_FLOOD_LIMIT, FLOOD_LIMIT, type SegmentValue } from './segment-value.ts';

/** As a person writes it. */
export interface SegmentRequest {
  readonly name: string;
  /** `10.9.0.0/16`: one, or one of each family. */
  readonly subnets: readonly string[];
  /** A free one unless given. */
  readonly vni?: number;
  /** Addresses, one of each family at most; the first of each subnet unless given. */
  readonly gateways?: readonly string[] | 'none';
  readonly internal?: boolean;
  /** For the subnets, in their order. */
  readonly rangeLengths?: readonly number[];
  readonly docker?: boolean;
  readonly mtu?: number;
  /** UDP port of the tunnel; 4789 unless given. */
  readonly port?: number;
  /** See Segment; 2000 unless given. */
  readonly floodLimit?: number;
}

/** All that a request decides. */
export type PlannedSegment = Omit<SegmentValue, 'id' | 'vni' | 'created'> & { readonly vni?: number };

/** IANA's port for VXLAN (RFC 7348). */
const DEFAULT_PORT = 4789;
/** Four ranges: the first is never leased, and one alone would leave room for a single host. */
const RANGE_BITS = 2;
/** Four addresses: fewer are not worth a range. */
const ADDRESS_BITS_OF_RANGE = 2;
const LARGEST_MTU = 65_535;

/** @param problems what is wrong is appended; the plan is of use only when nothing is */
export function planSegment(
  request: SegmentRequest,
  context: SegmentContext,
  problems: Problem[],
): PlannedSegment {
  const { name, vni, mtu, internal = false, docker = false, port = DEFAULT_PORT } = request;
  const refuse = (path: string, value: unknown, message: string, hint?: string) =>
    void problems.push({ path, ...defined({ value }), message, ...defined({ hint }) });

  if (RESERVED_NAMES.includes(name)) refuse('name', name, 'is the name of a network that Docker has itself');
  else if (!isSegmentName(name)) {
    refuse(
      'name',
      name,
      'must be 1 to 32 of a-z, 0-9, dot, hyphen and underscore, and begin and end with one of a-z and 0-9',
    );
  }
  if (vni !== undefined && !isVni(vni))
    refuse('vni', vni, `must be a whole number between 1 and ${MOST_VNI}`);
  else if (vni !== undefined && !isFreeVni(vni, context)) {
    const owner = context.vnis.get(vni);
    const whose = owner === undefined ? 'is that of the overlay' : `is that of the network ${owner}`;
    refuse('vni', vni, whose, 'leave it out to get a free one');
  }
  if (!(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
    refuse('port', port, 'must be a whole number between 1 and 65535');
  }
  const { floodLimit = DEFAULT_FLOOD_LIMIT } = request;
  const { min, max } = FLOOD_LIMIT;
  if (!(Number.isInteger(floodLimit) && floodLimit >= min && floodLimit <= max)) {
    refuse('floodLimit', floodLimit, `must be a whole number between ${min} and ${max}`);
  }
  const subnets = planSubnets(request.subnets, context, refuse);
  const smallest = Math.max(...familiesOf(subnets).map(family => LEAST_MTU[family]), LEAST_MTU.ipv4);
  if (mtu !== undefined && !(Number.isInteger(mtu) && mtu >= smallest && mtu <= LARGEST_MTU)) {
    refuse('mtu', mtu, `must be a whole number between ${smallest} and ${LARGEST_MTU}`);
  }
  return {
    ...defined({ vni, mtu }),
    port,
    internal,
    docker,
    floodLimit,
    subnets,
    gateways: planGateways(request, subnets, refuse),
    rangeLengths: planRangeLengths(request, subnets, refuse),
  };
}

type Refuse = (path: string, value: unknown, message: string, hint?: string) => void;

function planSubnets(texts: readonly string[], context: SegmentContext, refuse: Refuse): PerFamily<Prefix> {
  if (texts.length === 0) refuse('subnet', undefined, 'is missing', 'for example 10.9.0.0/16');
  const subnets: Prefix[] = [];
  for (const text of texts) {
    const subnet = parseSubnet(text, refuse);
    if (subnet === undefined) continue;
    const { family } = subnet;
    const longest = ADDRESS_BITS[family] - RANGE_BITS - ADDRESS_BITS_OF_RANGE;
    const wrong = unusableProblem(subnet) ?? overlapProblem(subnet, context);
    if (wrong !== undefined) refuse('subnet', text, wrong);
    const other = subnets.find(one => one.family === family);
    if (other !== undefined) {
      refuse('subnet', text, `is a second ${FAMILY_LABELS[family]} subnet, beside ${other}`);
      continue;
    }
    if (subnet.length > longest) {
      refuse('subnet', text, `is too small for the ranges of several hosts: must be /${longest} or shorter`);
    }
    subnets.push(subnet);
  }
  return byFamily(...subnets);
}

function parseSubnet(text: string, refuse: Refuse): Prefix | undefined {
  const subnet = Prefix.tryParse(text);
  if (subnet === undefined)
    refuse('subnet', text, 'must be an address with a prefix length', 'for example 10.9.0.0/16');
  else if (!parseInterfaceAddress(text).ip.equals(subnet.ip)) {
    refuse('subnet', text, 'is an address inside of a subnet', `the subnet is ${subnet}`);
  }
  return subnet;
}

function planGateways(
  { gateways: wanted, internal }: SegmentRequest,
  subnets: PerFamily<Prefix>,
  refuse: Refuse,
): PerFamily<Ip> {
  if (internal && wanted !== undefined && wanted !== 'none') {
    refuse('gateway', wanted.join(', '), 'has no place in an internal network', 'leave out one of the two');
  }
  if (internal || wanted === 'none') return {};
  if (wanted === undefined) return mapFamilies(subnets, ({ ip }) => ip.plus(1));
  const gateways: Ip[] = [];
  for (const text of wanted) {
    const ip = Ip.tryParse(text);
    const subnet = ip && subnets[ip.family];
    if (ip === undefined) refuse('gateway', text, 'must be an address, or none');
    else if (gateways.some(({ family }) => family === ip.family)) {
      refuse('gateway', text, `is a second ${FAMILY_LABELS[ip.family]} gateway`);
    } else if (subnet === undefined || !isAddressOfHost(ip, subnet)) {
      const some = valuesOf(subnets).join(' or ');
      refuse('gateway', text, `must be an address that a host can have in ${some || 'the subnet'}`);
    } else gateways.push(ip);
  }
  return byFamily(...gateways);
}

function planRangeLengths(
  { subnets: texts, rangeLengths: wanted = [] }: SegmentRequest,
  subnets: PerFamily<Prefix>,
  refuse: Refuse,
): PerFamily<number> {
  const order = texts.map(text => Prefix.tryParse(text)?.family);
  for (const length of wanted.slice(texts.length)) {
    refuse('rangeLength', length, 'is one more than there are subnets');
  }
  return perFamily(family => {
    const subnet = subnets[family];
    if (subnet === undefined) return undefined;
    const length = wanted[order.indexOf(family)];
    if (length === undefined) return defaultRangeLength(subnet);
    const [shortest, longest] = [subnet.length + RANGE_BITS, ADDRESS_BITS[family] - ADDRESS_BITS_OF_RANGE];
    if (shortest > longest || (Number.isInteger(length) && length >= shortest && length <= longest)) {
      return length;
    }
    refuse('rangeLength', length, `must be between ${shortest} and ${longest} for ${subnet}`);
    return undefined;
  });
}

/** As many ranges as addresses in each, as far as that goes: /24 of a /16, /28 of a /24. */
function defaultRangeLength({ family, length }: Prefix): number {
  const hostBits = ADDRESS_BITS[family] - length;
  return length + Math.max(RANGE_BITS, Math.floor(hostBits / 2));
}

/** Whether a container or a gateway of the subnet can have it: neither the network's own address nor for broadcast. */
export function isAddressOfHost(ip: Ip, subnet: Prefix): boolean {
  if (!subnet.contains(ip) || ip.equals(subnet.ip)) return false;
  return ip.family === 'ipv6' || !ip.equals(subnet.last);
}
