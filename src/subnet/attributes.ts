/**
 * The JSON value of a lease, in flannel's spelling (flannel pkg/lease/lease.go, LeaseAttrs):
 *
 *     {"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan",
 *      "BackendData":{"VNI":88,"VtepMAC":"c6:d2:32:6f:8f:44"},"TulleHost":"5d1c...","TulleHostName":"docker1"}
 *
 * PublicIP and PublicIPv6 are always written, as 0.0.0.0 and null when there is none; the others only when they
 * are set. TulleHost and TulleHostName are ours: flannel ignores members it does not know. So do we, and keep them.
 */
import { formatProblem, ParseError, type Problem } from '../base/errors.ts';
import { Fields, isObject } from '../base/fields.ts';
import { parseGoJson } from '../base/go-json.ts';
import type { LeaseAttributes } from './lease.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @throws ParseError with everything that is wrong. */
export function decodeAttributes(value: Uint8Array): LeaseAttributes {
  const problems: Problem[] = [];
  const fields = new Fields(parseObject(value), '', problems);
  const publicIp = fields.address('PublicIP', 'ipv4');
  const publicIpv6 = fields.address('PublicIPv6', 'ipv6');
  const backendType = fields.text('BackendType') || undefined;
  const backendData = fields.value('BackendData') ?? undefined;
  const backendV6Data = fields.value('BackendV6Data') ?? undefined;
  const hostId = fields.text('TulleHost') || undefined;
  const hostName = readHostName(fields);
  const extra = fields.unknown().map(name => [name, fields.value(name)] as const);
  if (problems.length > 0) {
    throw new ParseError('lease attributes', abridge(value), problems.map(formatProblem).join('; '));
  }
  return {
    ...(publicIp === undefined ? {} : { publicIp }),
    ...(publicIpv6 === undefined ? {} : { publicIpv6 }),
    ...(backendType === undefined ? {} : { backendType }),
    ...(backendData === undefined ? {} : { backendData }),
    ...(backendV6Data === undefined ? {} : { backendV6Data }),
    ...(hostId === undefined ? {} : { hostId }),
    ...(hostName === undefined ? {} : { hostName }),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

export function encodeAttributes(attributes: LeaseAttributes): Uint8Array {
  const { publicIp, publicIpv6, backendType, backendData, backendV6Data, hostId, hostName, extra } =
    attributes;
  const members = {
    PublicIP: publicIp ?? '0.0.0.0',
    PublicIPv6: publicIpv6 ?? null,
    // JSON.stringify leaves out what is undefined.
    BackendType: backendType,
    BackendData: backendData,
    BackendV6Data: backendV6Data,
    TulleHost: hostId,
    TulleHostName: hostName,
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
