/**
 * The JSON values of an L2 network's keys:
 *
 *     config     {"id":"9f0c41d2a7e35b68","vni":14811337,"port":4789,"subnets":["10.9.0.0/16"],"gateways":["10.9.0.1"],
 *                 "rangeLengths":[24],"internal":false,"docker":false,"floodLimit":2000,"mtu":1450,
 *                 "created":"2026-11-29T18:35:00.000Z"}
 *     member     {"hostName":"docker1","addresses":["192.168.65.3"],"mac":"02:..."}
 *     endpoint   {"hostId":"5d1c...","hostName":"docker1","container":"web","mac":"02:..."}
 *     range      {"hostId":"5d1c...","hostName":"docker1","machine":"9f03..."}
 *     vnis/...   the name, as text
 *
 * Everything read is checked, however it came there: a value that is too long, is no such JSON, or states what cannot be
 * is a ParseError. Unknown members are ignored, as a later version may have more.
 */

import { defined } from '../../base/defined.ts';
import { ParseError } from '../../base/errors.ts';
import type { Fields } from '../../base/fields.ts';
import { ADDRESS_BITS, Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { LEAST_MTU } from '../../base/mtu.ts';
import { byFamily, familiesOf, type PerFamily, perFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { encodeStored, hostIn, hostNameIn, readStored } from '../publish/stored-json.ts';
import {
  isContainerName,
  type Segment,
  type SegmentEndpoint,
  type SegmentMember,
  type SegmentRange,
} from './segment.ts';
import { MOST_VNI } from './segment-key.ts';

const PORT = { min: 1, max: 65_535 };
/** Whether it is enough for IPv6 is checked when a network is made. */
const MTU = { min: LEAST_MTU.ipv4, max: 65_535 };

/** Hundreds of containers send a tenth of that; a loop makes a hundred times as much. */
export const DEFAULT_FLOOD_LIMIT = 2000;
export const FLOOD_LIMIT = { min: 1, max: 10_000_000 };

/** All of a segment but what the key and the store say. */
export type SegmentValue = Omit<Segment, 'name' | 'createRevision'>;

/** @throws ParseError, as every function here that decodes */
export function decodeSegment(value: Uint8Array): SegmentValue {
  return readStored('an L2 network', value, (fields, problems) => {
    const id = fields.text('id') ?? '';
    if (!/^[0-9a-f]{16}$/.test(id)) fields.problem('id', 'must be 16 hex digits');
    const vni = fields.integer('vni', { min: 1, max: MOST_VNI }) ?? missing(fields, 'vni');
    const port = fields.integer('port', PORT) ?? missing(fields, 'port');
    const subnets = byFamily(...texts(fields, 'subnets', Prefix.parse, 'blocks of addresses'));
    const families = familiesOf(subnets);
    if (families.length === 0 && problems.length === 0) fields.problem('subnets', 'must hold a block');
    const gateways = byFamily(...texts(fields, 'gateways', Ip.parse, 'addresses'));
    for (const family of familiesOf(gateways)) {
      if (subnets[family]?.contains(gateways[family] as Ip)) continue;
      fields.problem('gateways', 'must be inside the subnets');
    }
    const mtu = fields.integer('mtu', MTU);
    const lengths = list(fields, 'rangeLengths');
    const rangeLengths: PerFamily<number> = perFamily(family => {
      const subnet = subnets[family];
      const length = lengths[families.indexOf(family)];
      if (subnet === undefined) return undefined;
      if (isLengthWithin(length, subnet)) return length;
      return fields.problem(
        'rangeLengths',
        `must hold a length between ${subnet.length} and ${ADDRESS_BITS[family]}`,
      );
    });
    const internal = fields.flag('internal') ?? false;
    const docker = fields.flag('docker') ?? false;
    const floodLimit = fields.integer('floodLimit', FLOOD_LIMIT) ?? DEFAULT_FLOOD_LIMIT;
    const created = new Date(fields.text('created') ?? '');
    if (Number.isNaN(created.getTime())) fields.problem('created', 'must be a time');
    return {
      id,
      vni,
      port,
      subnets,
      gateways,
      internal,
      ...defined({ mtu }),
      rangeLengths,
      docker,
      floodLimit,
      created,
    };
  });
}

export function encodeSegment(segment: SegmentValue): Uint8Array {
  const { id, vni, port, subnets, gateways, rangeLengths, internal, docker, floodLimit, mtu, created } =
    segment;
  return encodeStored({
    id,
    vni,
    port,
    subnets: valuesOf(subnets),
    gateways: valuesOf(gateways),
    rangeLengths: valuesOf(rangeLengths),
    internal,
    docker,
    floodLimit,
    mtu,
    created,
  });
}

export function decodeMember(hostId: string, value: Uint8Array): SegmentMember {
  return readStored('a member of an L2 network', value, fields => {
    const addresses = byFamily(...texts(fields, 'addresses', Ip.parse, 'addresses'));
    const all = valuesOf(addresses);
    if (all.length === 0 || !all.every(isHostAddress)) {
      fields.problem('addresses', 'must be addresses of a host');
    }
    const mac = readMac(fields);
    return { hostId, ...hostNameIn(fields), addresses, ...defined({ mac }) };
  });
}

export function encodeMember({ hostName, addresses, mac }: SegmentMember): Uint8Array {
  return encodeStored({ hostName, addresses: valuesOf(addresses), mac });
}

export function decodeEndpoint(ip: Ip, value: Uint8Array): SegmentEndpoint {
  return readStored('an endpoint of an L2 network', value, fields => {
    const mac = readMac(fields) ?? missing(fields, 'mac');
    const container = fields.text('container') ?? '';
    if (!isContainerName(container)) fields.problem('container', 'must be the name of a container');
    return { ip, mac, ...hostIn(fields), container };
  });
}

export function encodeEndpoint({ hostId, hostName, container, mac }: SegmentEndpoint): Uint8Array {
  return encodeStored({ hostId, hostName, container, mac });
}

export function decodeSegmentRange(block: Prefix, value: Uint8Array): SegmentRange {
  return readStored('a range of an L2 network', value, fields => {
    const machine = fields.text('machine') || undefined;
    return { block, ...hostIn(fields), ...defined({ machine }) };
  });
}

export function encodeSegmentRange({ hostId, hostName, machine }: SegmentRange): Uint8Array {
  return encodeStored({ hostId, hostName, machine });
}

/** Whether a tunnel packet can be sent to it. */
export function isHostAddress(ip: Ip): boolean {
  return !(ip.isUnspecified || ip.isLoopback || ip.isMulticast || ip.isReserved);
}

/** Whether hosts can lease ranges of this length from a subnet. */
function isLengthWithin(length: unknown, subnet: Prefix): length is number {
  return (
    Number.isInteger(length) &&
    Number(length) >= subnet.length &&
    Number(length) <= ADDRESS_BITS[subnet.family]
  );
}

function readMac(fields: Fields): Mac | undefined {
  const mac = fields.parsed('mac', Mac.parse, 'a MAC address');
  return mac === undefined || mac.isUnicast
    ? mac
    : fields.problem('mac', 'must be the address of one station');
}

/** A problem for what is not there; what it returns is never used. */
function missing(fields: Fields, name: string): never {
  if (fields.value(name) === undefined) fields.problem(name, 'is missing');
  return undefined as never;
}

function list(fields: Fields, name: string): readonly unknown[] {
  const value = fields.value(name);
  if (Array.isArray(value) && value.length <= 2) return value;
  fields.problem(name, 'must be a list of at most two');
  return [];
}

/** A list of texts, with at most one of each family. */
function texts<T extends { readonly family: string }>(
  fields: Fields,
  name: string,
  parse: (text: string) => T,
  what: string,
): readonly T[] {
  try {
    const values = list(fields, name).map(text => parse(typeof text === 'string' ? text : ''));
    if (new Set(values.map(({ family }) => family)).size === values.length) return values;
    fields.problem(name, 'must hold one of each family at most');
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    fields.problem(name, `must be ${what}`);
  }
  return [];
}
