/**
 * The JSON value of a lease, in flannel's spelling (flannel pkg/lease/lease.go, LeaseAttrs):
 *
 *     {"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan",
 *      "BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"},"TulleHost":"5d1c...","TulleHostName":"docker1",
 *      "TulleMachine":"9f03...","TulleTunnelPort":8472,"TullePeerApi":8473,"TulleSendsFrom":["10.0.0.3"],
 *      "TulleWays":{"direct":true,"udp":8285},"TulleReserved":true,
 *      "TulleClaim":{"TulleHost":"77ab...","PublicIP":"192.168.65.3","PublicIPv6":null}}
 *
 * PublicIP and PublicIPv6 are always written, as 0.0.0.0 and null when there is none; the others only when they
 * are set. Those that begin with Tulle are ours: flannel ignores members it does not know. So do we, and keep them.
 */
import { formatProblem, ParseError, type Problem } from '../../base/errors.ts';
import { Fields, isObject } from '../../base/fields.ts';
import { FAMILIES, type Family, Ip } from '../../base/ip.ts';
import { familiesOf, type PerFamily, perFamily } from '../../base/per-family.ts';
import { parseGoJson } from '../go-json.ts';
import type { Claimant, LeaseAttributes, PublishedWays } from './lease.ts';

/** flannel's names of what each family has, and its public address where there is none. */
export const LEASE_MEMBERS = {
  ipv4: { publicIp: 'PublicIP', noPublicIp: '0.0.0.0', backendData: 'BackendData' },
  ipv6: { publicIp: 'PublicIPv6', noPublicIp: null, backendData: 'BackendV6Data' },
} as const satisfies Record<Family, object>;

/** Addresses that one host sends from: one of each family, and as many again while it changes them. */
const MOST_SOURCES = 4;
const PORT = { min: 1, max: 65_535 };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws ParseError with everything that is wrong. */
export function decodeAttributes(value: Uint8Array): LeaseAttributes {
  const problems: Problem[] = [];
  const fields = new Fields(parseObject(value), '', problems);
  const publicIp = readPublicIp(fields);
  const backendType = fields.text('BackendType') || undefined;
  const backendData = perFamily(family => fields.value(LEASE_MEMBERS[family].backendData) ?? undefined);
  const hostId = fields.text('TulleHost') || undefined;
  const hostName = readHostName(fields);
  const machine = fields.text('TulleMachine') || undefined;
  const reserved = fields.flag('TulleReserved') || undefined;
  const claim = readClaim(fields, problems);
  const tunnelPort = fields.integer('TulleTunnelPort', PORT);
  const peerApiPort = fields.integer('TullePeerApi', PORT);
  const sendsFrom = readSendsFrom(fields);
  const ways = readWays(fields, problems);
  const extra = fields.unknown().map(name => [name, fields.value(name)] as const);
  if (problems.length > 0) {
    throw new ParseError('lease attributes', abridge(value), problems.map(formatProblem).join('; '));
  }
  return {
    publicIp,
    ...(backendType === undefined ? {} : { backendType }),
    ...(familiesOf(backendData).length === 0 ? {} : { backendData }),
    ...(hostId === undefined ? {} : { hostId }),
    ...(hostName === undefined ? {} : { hostName }),
    ...(machine === undefined ? {} : { machine }),
    ...(reserved === undefined ? {} : { reserved }),
    ...(claim === undefined ? {} : { claim }),
    ...(tunnelPort === undefined ? {} : { tunnelPort }),
    ...(peerApiPort === undefined ? {} : { peerApiPort }),
    ...(sendsFrom === undefined ? {} : { sendsFrom }),
    ...(ways === undefined ? {} : { ways }),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

export function encodeAttributes(attributes: LeaseAttributes): Uint8Array {
  const {
    publicIp,
    backendType,
    backendData = {},
    tunnelPort,
    peerApiPort,
    sendsFrom,
    ways,
    extra,
  } = attributes;
  const { hostId, hostName, machine, reserved, claim } = attributes;
  const value = {
    ...publicIpMembers(publicIp),
    // JSON.stringify leaves out what is undefined.
    BackendType: backendType,
    ...members('backendData', family => backendData[family]),
    TulleHost: hostId,
    TulleHostName: hostName,
    TulleMachine: machine,
    TulleReserved: reserved,
    TulleClaim: claim && { TulleHost: claim.hostId, ...publicIpMembers(claim.publicIp) },
    TulleTunnelPort: tunnelPort,
    TullePeerApi: peerApiPort,
    TulleSendsFrom: sendsFrom,
    TulleWays: ways,
    ...extra,
  };
  return new TextEncoder().encode(JSON.stringify(value));
}

/** Whether a host may call itself so: a name of gethostname(2) that is one plain word, on a screen and on a command line. */
export function isHostName(text: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(text);
}

/** A name is for people. One that is none is no reason to do without the lease. */
function readHostName(fields: Fields): string | undefined {
  const name = fields.value('TulleHostName');
  return typeof name === 'string' && isHostName(name) ? name : undefined;
}

const readPublicIp = (fields: Fields): PerFamily<Ip> =>
  perFamily(family => fields.address(LEASE_MEMBERS[family].publicIp, family));

const publicIpMembers = (publicIp: PerFamily<Ip>) =>
  members('publicIp', family => publicIp[family] ?? LEASE_MEMBERS[family].noPublicIp);

/** Members of a JSON object, one per family, under flannel's names. */
function members(of: 'publicIp' | 'backendData', valueOf: (family: Family) => unknown): object {
  return Object.fromEntries(FAMILIES.map(family => [LEASE_MEMBERS[family][of], valueOf(family)]));
}

function readClaim(lease: Fields, problems: Problem[]): Claimant | undefined {
  const value = lease.value('TulleClaim') ?? undefined;
  if (value === undefined) return undefined;
  if (!isObject(value)) return lease.problem('TulleClaim', 'must be a JSON object');
  const fields = new Fields(value, 'TulleClaim', problems);
  const hostId = fields.text('TulleHost') || undefined;
  return { publicIp: readPublicIp(fields), ...(hostId === undefined ? {} : { hostId }) };
}

/** Text that is no address, or too much of it, is as good as none: nothing else depends on it. */
function readSendsFrom(lease: Fields): readonly Ip[] | undefined {
  const value = lease.value('TulleSendsFrom');
  const texts: readonly unknown[] = Array.isArray(value) ? value.slice(0, MOST_SOURCES) : [];
  const known = texts.flatMap(text => (typeof text === 'string' ? (Ip.tryParse(text) ?? []) : []));
  return known.length === 0 ? undefined : known;
}

function readWays(lease: Fields, problems: Problem[]): PublishedWays | undefined {
  const value = lease.value('TulleWays') ?? undefined;
  if (value === undefined) return undefined;
  if (!isObject(value)) return lease.problem('TulleWays', 'must be a JSON object');
  const fields = new Fields(value, 'TulleWays', problems);
  const udp = fields.integer('udp', PORT);
  return { direct: fields.flag('direct') ?? false, ...(udp === undefined ? {} : { udp }) };
}

function parseObject(value: Uint8Array): object {
  let parsed: unknown;
  try {
    parsed = parseGoJson(utf8.decode(value));
  } catch {
    throw new ParseError('lease attributes', abridge(value), 'want JSON');
  }
  if (isObject(parsed)) return parsed;
  throw new ParseError('lease attributes', abridge(value), 'want a JSON object');
}

/** A start of the value that is fit for a message, whatever its bytes are. */
function abridge(value: Uint8Array): string {
  const text = new TextDecoder().decode(value.subarray(0, 64)).replaceAll(/[^\x20-\x7e]/g, '?');
  return value.byteLength > 64 ? `${text}...` : text;
}
