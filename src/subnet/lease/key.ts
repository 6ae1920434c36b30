/**
 * Lease keys, flannel's file-name-like spelling of subnets (flannel pkg/subnet/subnet.go):
 *
 *     10.5.34.0-24                       IPv4
 *     10.5.34.0-24&fd00:0:0:1::-64       both families
 *     0.0.0.0-0&fd00:0:0:1::-64          IPv6 alone
 *
 * A lease has exactly one key: other spellings of the same subnet are refused, or two hosts could hold it under
 * two keys. flannel reads more than that (any text may stand in front, host bits are kept); `claimsOfKey` says
 * what flannel would take from a key, so that nothing is leased that a flannel host believes to be taken.
 */
import { ParseError } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Subnet } from './lease.ts';

const NO_IPV4 = '0.0.0.0-0';

const FORM = /^(?<v4>\d+(?:\.\d+){3})-(?<len4>\d+)(?:&(?<v6>[a-f\d:]+)-(?<len6>\d+))?$/;
/** Anchored at the end only, and with dots that match anything, as in flannel. */
const FLANNEL_FORM = /(?<v4>\d+\.\d+.\d+.\d+)-(?<len4>\d+)(?:&(?<v6>[a-f\d:]+)-(?<len6>\d+))?$/;

/** flannel reads the lengths as 5 and 7 bits. */
const LONGEST = { ipv4: 31, ipv6: 127 } as const satisfies Record<Family, number>;

export function formatLeaseKey(subnet: Subnet): string {
  const ipv4 = subnet.ipv4 === undefined ? NO_IPV4 : formatBlock(subnet.ipv4);
  return subnet.ipv6 === undefined ? ipv4 : `${ipv4}&${formatBlock(subnet.ipv6)}`;
}

/** @throws ParseError */
export function parseLeaseKey(key: string): Subnet {
  const refuse = (reason: string) => new ParseError('a lease key', key, reason);
  const groups = FORM.exec(key)?.groups;
  if (groups === undefined) throw refuse('want for example 10.5.34.0-24 or 10.5.34.0-24&fd00:0:0:1::-64');
  const { v4 = '', len4 = '', v6, len6 = '' } = groups;

  const ipv4 = parseBlock('ipv4', v4, len4);
  if (ipv4 === undefined) throw refuse(`${v4}-${len4} is no IPv4 block`);
  const ipv6 = v6 === undefined ? undefined : parseBlock('ipv6', v6, len6);
  if (v6 !== undefined && ipv6 === undefined) throw refuse(`${v6}-${len6} is no IPv6 block`);

  const without4 = `${v4}-${len4}` === NO_IPV4;
  if (ipv6?.length === 0 || (ipv4.length === 0 && !without4)) throw refuse('a length of 0 names no subnet');
  if (without4 && ipv6 === undefined) throw refuse('it names no subnet');
  const subnet = { ...(without4 ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
  const canonical = formatLeaseKey(subnet);
  if (canonical !== key) throw refuse(`this subnet is written ${canonical}`);
  return subnet;
}

/** The blocks a flannel host takes from a key when it looks for a free one; empty when it ignores the key. */
export function takenBlocksOfKey(key: string): readonly Prefix[] {
  const groups = FLANNEL_FORM.exec(key)?.groups;
  if (groups === undefined) return [];
  const { v4 = '', len4 = '', v6, len6 = '' } = groups;
  const ipv4 = parseBlock('ipv4', v4, len4);
  const ipv6 = v6 === undefined ? undefined : parseBlock('ipv6', v6, len6);
  if (ipv4 === undefined || (v6 !== undefined && ipv6 === undefined)) return [];
  return [ipv4, ipv6].filter(block => block !== undefined && block.length > 0) as Prefix[];
}

function parseBlock(family: Family, address: string, length: string): Prefix | undefined {
  const ip = Ip.tryParse(address);
  const bits = Number(length);
  return ip?.family === family && bits <= LONGEST[family] ? Prefix.of(ip, bits) : undefined;
}

const formatBlock = (block: Prefix) => `${block.ip}-${block.length}`;
