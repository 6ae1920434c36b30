/**
 * The network of a new cluster: one that this host does not reach already. A network that holds its LAN, or a range it
 * has a route to, would take those packets away from where they go now.
 */
import { randomBytes } from 'node:crypto';
import { ConfigError } from '../base/errors.ts';
import { FAMILY_LABELS, type Family, Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import type { Address, Route } from '../netlink/route/objects.ts';

/** What a host has in a range: `eth0` has an address there, or it is routed. */
export interface Taken {
  readonly range: Prefix;
  /** In words: `10.244.7.1/24 on eth0`, `a route to 10.0.0.0/8`. */
  readonly by: string;
}

/** IPv4 for private use (RFC 1918), the usual one first. */
const PRIVATE = [
  ...numbers(244, 255).map(octet => `10.${octet}.0.0/16`),
  ...numbers(16, 31).map(octet => `172.${octet}.0.0/16`),
  ...numbers(0, 243).map(octet => `10.${octet}.0.0/16`),
  '192.168.0.0/16',
].map(Prefix.parse);

/** Of a trillion, the second is as good as free. */
const DRAWS = 64;

/** @param random 5 bytes, anew with each call. */
const candidates = (family: Family, random: () => Uint8Array): readonly Prefix[] =>
  family === 'ipv4' ? PRIVATE : numbers(1, DRAWS).map(() => drawUniqueLocal(random()));

/**
 * A network of unique local IPv6 addresses: fd00::/8 and a global id of 40 bits, which is drawn so that networks which
 * are joined one day do not have the same (RFC 4193, section 3.2).
 */
function drawUniqueLocal(globalId: Uint8Array): Prefix {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(globalId.subarray(0, 5), 1);
  return Prefix.of(Ip.fromBytes(bytes), 48);
}

/** What a host has: its addresses with their networks, and its routes; the default route leads everywhere. */
export function takenRanges(
  addresses: readonly Address[],
  routes: readonly Route[],
  nameOf: (index: number) => string,
): Taken[] {
  return [
    ...addresses.map(({ ip, length, index }) => ({
      range: Prefix.of(ip, length),
      by: `${ip}/${length} on ${nameOf(index)}`,
    })),
    ...routes.flatMap(({ destination }) =>
      destination === undefined || destination.length === 0
        ? []
        : [{ range: destination, by: `a route to ${destination}` }],
    ),
  ];
}

/**
 * The network asked for, or else one that nothing touches: of IPv4 the first, of IPv6 a random one.
 * @param random 5 bytes, anew with each call
 * @throws ConfigError when the one asked for is taken, or all are
 */
export function chooseNetwork(
  wanted: Prefix | undefined,
  family: Family,
  taken: readonly Taken[],
  random: () => Uint8Array = () => randomBytes(5),
): Prefix {
  const holderOf = (network: Prefix) => taken.find(({ range }) => range.overlaps(network));
  const free = candidates(family, random).find(network => holderOf(network) === undefined);
  const refuse = (message: string, hint: string) =>
    new ConfigError('command line', [
      { path: '--network', ...(wanted && { value: wanted.toString() }), message, hint },
    ]);
  if (wanted === undefined) {
    if (free !== undefined) return free;
    throw refuse(
      `every private ${FAMILY_LABELS[family]} network is in use on this host`,
      'give one that is unused',
    );
  }
  const holder = holderOf(wanted);
  if (holder === undefined) return wanted;
  const hint = free === undefined ? 'give a network that this host has no route to' : `${free} is free`;
  throw refuse(`is in use on this host: ${holder.by}`, hint);
}

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
