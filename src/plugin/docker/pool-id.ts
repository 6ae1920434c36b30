/**
 * The id of a pool of addresses, by which Docker's IPAM calls name it. It says all that is to be known of the pool, so that
 * nothing has to be looked up after a restart, and no record of pools can get lost:
 *
 *     ipv4 auto 0.67.12.9                  Docker network without `--subnet`
 *     ipv4 subnet 10.9.0.0/16              with `--subnet 10.9.0.0/16`
 *     ipv4 subnet 10.9.0.0/16 blue         and with `--ipam-opt tulle.network=blue`
 *
 * Which network it belongs to Docker tells only in CreateNetwork, where the gateway of the pool comes back, or its subnet.
 * So that an `auto` pool is known by its gateway, this is an address that no host can have (0.0.0.0/8 is "this network",
 * RFC 1122 3.2.1.3; 100::/64 is discarded, RFC 6666) and that no other pool has.
 */
import { ParseError } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';

export type PoolId = {
  readonly family: Family;
  /** Name of the network of the cluster, where it was stated. */
  readonly network?: string;
} & ({ readonly token: Ip } | { readonly subnet: Prefix });

/** What an `auto` pool is for Docker: it overlaps with nothing that Docker compares it with, and holds every address. */
export const AUTO_POOL = { ipv4: '0.0.0.0/0', ipv6: '::/0' } as const;

const TOKENS = { ipv4: Prefix.parse('0.0.0.0/8'), ipv6: Prefix.parse('100::/64') } as const;

/** A gateway for an `auto` pool: one of 16 million, or more. */
export function drawToken(family: Family, randomBytes: (count: number) => Uint8Array): Ip {
  const [a = 0, b = 0, c = 0] = randomBytes(3);
  // Never the first address of the block, which means "none".
  return TOKENS[family].ip.plus(1 + (((a << 16) | (b << 8) | c) % 0xffffff));
}

export const isToken = (ip: Ip): boolean => TOKENS[ip.family].contains(ip);

export function formatPoolId(pool: PoolId): string {
  const what = 'token' in pool ? `auto ${pool.token}` : `subnet ${pool.subnet}`;
  return `${pool.family} ${what}${pool.network === undefined ? '' : ` ${pool.network}`}`;
}

/** @throws ParseError */
export function parsePoolId(text: string): PoolId {
  const [family, kind, value = '', network, ...more] = text.split(' ');
  const token = kind === 'auto' ? Ip.tryParse(value) : undefined;
  const subnet = kind === 'subnet' ? Prefix.tryParse(value) : undefined;
  const found = token ?? subnet;
  if (found === undefined || found.family !== family || network === '' || more.length > 0) {
    throw new ParseError('the id of a pool', text, 'want one that this plugin gave');
  }
  const named = { family: found.family, ...(network === undefined ? {} : { network }) };
  if (token !== undefined && isToken(token)) return { ...named, token };
  if (subnet !== undefined) return { ...named, subnet };
  throw new ParseError('the id of a pool', text, 'its gateway is not one that this plugin gave');
}

/** Whether two are the pool of the same Docker network. */
export const isSamePool = (one: PoolId, other: PoolId): boolean =>
  'token' in one
    ? 'token' in other && one.token.equals(other.token)
    : 'subnet' in other && one.subnet.equals(other.subnet);
