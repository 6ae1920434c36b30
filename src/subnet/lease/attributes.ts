/**
 * The JSON value of a lease, in flannel's spelling (flannel pkg/lease/lease.go, LeaseAttrs):
 *
 *     {"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan",
 *      "BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"},"TulleHost":"5d1c...","TulleHostName":"docker1",
 *      "TulleMachine":"9f03...","TulleTunnelPort":8472,"TulleReserved":true,
 *      "TulleClaim":{"TulleHost":"77ab...","PublicIP":"192.168.65.3","PublicIPv6":null}}
 *
 * PublicIP and PublicIPv6 are always written, as 0.0.0.0 and null when there is none; the others only when they
 * are set. Those that begin with Tulle are ours: flannel ignores members it does not know. So do we, and keep them.
 */
import { formatProblem, ParseError, type Problem } from '../../base/errors.ts';
import { Fields, isObject } from '../../base/fields.ts';
import { parseGoJson } from '../../base/go-json.ts';
import type { Claimant, LeaseAttributes } from './lease.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws ParseError with everything that is wrong. */
export function decodeAttributes(value: Uint8Array): LeaseAttributes {
  const problems: Problem[] = [];
  const fields = new Fields(parseObject(value), '', problems);
  const addresses = readAddresses(fields);
  const backendType = fields.text('BackendType') || undefined;
  const backendData = fields.value('BackendData') ?? undefined;
  const backendV6Data = fields.value('BackendV6Data') ?? undefined;
  const hostId = fields.text('TulleHost') || undefined;
  const hostName = readHostName(fields);
  const machine = fields.text('TulleMachine') || undefined;
  const reserved = fields.flag('TulleReserved') || undefined;
  const claim = readClaim(fields, problems);
  const tunnelPort = fields.integer('TulleTunnelPort', { min: 1, max: 65_535 });
  const extra = fields.unknown().map(name => [name, fields.value(name)] as const);
  if (problems.length > 0) {
    throw new ParseError('lease attributes', abridge(value), problems.map(formatProblem).join('; '));
  }
  return {
    ...addresses,
    ...(backendType === undefined ? {} : { backendType }),
    ...(backendData === undefined ? {} : { backendData }),
    ...(backendV6Data === undefined ? {} : { backendV6Data }),
    ...(hostId === undefined ? {} : { hostId }),
    ...(hostName === undefined ? {} : { hostName }),
    ...(machine === undefined ? {} : { machine }),
    ...(reserved === undefined ? {} : { reserved }),
    ...(claim === undefined ? {} : { claim }),
    ...(tunnelPort === undefined ? {} : { tunnelPort }),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

export function encodeAttributes(attributes: LeaseAttributes): Uint8Array {
  const { backendType, backendData, backendV6Data, tunnelPort, extra } = attributes;
  const { hostId, hostName, machine, reserved, claim } = attributes;
  const members = {
    ...addressMembers(attributes),
    // JSON.stringify leaves out what is undefined.
    BackendType: backendType,
    BackendData: backendData,
    BackendV6Data: backendV6Data,
    TulleHost: hostId,
    TulleHostName: hostName,
    TulleMachine: machine,
    TulleReserved: reserved,
    TulleClaim: claim && { TulleHost: claim.hostId, ...addressMembers(claim) },
    TulleTunnelPort: tunnelPort,
    ...extra,
  };
  return new TextEncoder().encode(JSON.stringify(members));
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

const addressMembers = ({ publicIp, publicIpv6 }: Claimant) => ({
  PublicIP: publicIp ?? '0.0.0.0',
  PublicIPv6: publicIpv6 ?? null,
});

function readAddresses(fields: Fields): Pick<Claimant, 'publicIp' | 'publicIpv6'> {
  const publicIp = fields.address('PublicIP', 'ipv4');
  const publicIpv6 = fields.address('PublicIPv6', 'ipv6');
  return {
    ...(publicIp === undefined ? {} : { publicIp }),
    ...(publicIpv6 === undefined ? {} : { publicIpv6 }),
  };
}

function readClaim(lease: Fields, problems: Problem[]): Claimant | undefined {
  const value = lease.value('TulleClaim') ?? undefined;
  if (value === undefined) return undefined;
  if (!isObject(value)) return lease.problem('TulleClaim', 'must be a JSON object');
  const fields = new Fields(value, 'TulleClaim', problems);
  const hostId = fields.text('TulleHost') || undefined;
  return { ...readAddresses(fields), ...(hostId === undefined ? {} : { hostId }) };
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
