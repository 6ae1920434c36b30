/**
 * Next hop objects (kernel 5.3 and later, include/uapi/linux/nexthop.h): one per peer, and its routes refer to it by
 * number. A route with a gateway of its own costs the kernel time in proportion to all routes of the device, because
 * they share one hash bucket; one that refers to an object does not.
 */
import { fnv1a } from '../../base/fnv.ts';
import type { Ip } from '../../base/ip.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import { RT_SCOPE_HOST, RT_SCOPE_LINK, RTNH_F_ONLINK } from '../../netlink/route/constants.ts';
import type { Nexthop } from '../../netlink/route/objects.ts';
import { nexthopLine } from '../../netlink/text/entries.ts';
import { type Device, type Entry, type EntryKind, PROTOCOL, THIS_DEVICE } from './entry.ts';

export interface NexthopEntry extends Entry {
  readonly id: number;
  readonly gateway?: Ip;
  readonly onlink: boolean;
  /** RTPROT_*; 77 of what is wanted. */
  readonly protocol: number;
}

export function nexthopEntry({ id, gateway, flags, protocol }: Nexthop): NexthopEntry {
  const onlink = (flags & RTNH_F_ONLINK) !== 0;
  return gateway === undefined ? { id, onlink, protocol } : { id, gateway, onlink, protocol };
}

/** On this device, and either with our protocol or, on a link of our own, with a number that only we would give. */
export function isOurNexthop({ id, protocol, oif }: Nexthop, { index, owns }: Device): boolean {
  const isOfOurs = owns.routes && id >= FIRST_NEXTHOP_ID && id < FIRST_NEXTHOP_ID + COUNT;
  return oif === index && (protocol === PROTOCOL || isOfOurs);
}

export const nexthopKind: EntryKind<NexthopEntry, Change> = {
  object: 'nexthop',
  key: ({ id }) => id,
  name: ({ id }) => String(id),
  same: (desired, actual) =>
    desired.onlink === actual.onlink &&
    desired.protocol === actual.protocol &&
    (desired.gateway === undefined ? actual.gateway === undefined : desired.gateway.equals(actual.gateway)),
  // Only those for which `isOurNexthop` holds are ever looked at.
  ours: () => true,
  write({ index }, { id, gateway, onlink }, actual) {
    const nexthop = {
      id,
      family: gateway?.family ?? 'ipv4',
      protocol: PROTOCOL,
      oif: index,
      flags: onlink ? RTNH_F_ONLINK : 0,
      ...(gateway === undefined ? {} : { gateway }),
    };
    return actual === undefined ? change.addNexthop(nexthop) : change.replaceNexthop(nexthop);
  },
  remove: (_, { id }) => change.deleteNexthop(id),
  text({ id, gateway, onlink, protocol }, nameOf) {
    const scope = gateway === undefined ? RT_SCOPE_HOST : RT_SCOPE_LINK;
    const nexthop = { id, oif: THIS_DEVICE, scope, protocol, flags: onlink ? RTNH_F_ONLINK : 0, unknown: [] };
    return `nexthop ${nexthopLine(gateway === undefined ? nexthop : { ...nexthop, gateway }, nameOf)}`;
  },
};

/** Where our numbers begin; the first byte is our protocol's number. 2^24 of them follow. */
export const FIRST_NEXTHOP_ID = PROTOCOL * 2 ** 24;
const COUNT = 2 ** 24;

/** A gateway, with the MTU of its routes where they have one. */
type GatewayKey = Ip['key'] | string;

/**
 * Numbers for next hops. All programs of a host share one namespace of numbers. Ours are derived from the
 * gateway, so that they are the same after a restart; a number that is taken gives way to the next one. What the
 * kernel holds of ours from before is kept, whatever its number.
 *
 * Routes of another MTU have an object of their own: the kernel takes two routes through one for the same whatever their
 * MTU (net/ipv4/fib_semantics.c, fib_find_info_nh).
 */
export class NexthopIds {
  readonly #seed: number;
  readonly #ids = new Map<GatewayKey, number>();
  readonly #gateways = new Map<number, GatewayKey>();
  readonly #foreign = new Set<number>();

  /** @param salt sets apart devices that have the same gateways. */
  constructor(salt: string) {
    this.#seed = fnv1a(new TextEncoder().encode(salt));
  }

  /** The number of a gateway; always the same until it is found in other hands. */
  of(gateway: Ip, mtu = 0): number {
    const key = mtu === 0 ? gateway.key : `${gateway} mtu ${mtu}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    let offset = (fnv1a(gateway.bytes, this.#seed) + mtu) % COUNT;
    while (this.#isTaken(FIRST_NEXTHOP_ID + offset)) offset = (offset + 1) % COUNT;
    this.#assign(FIRST_NEXTHOP_ID + offset, key);
    return FIRST_NEXTHOP_ID + offset;
  }

  /** Takes a number over that the kernel holds for this gateway; not when the gateway has one already. */
  adopt(id: number, gateway: Ip): void {
    if (!this.#ids.has(gateway.key) && !this.#isTaken(id)) this.#assign(id, gateway.key);
  }

  /** Others use these numbers. Returns those that were ours: their gateways get others. */
  avoid(ids: Iterable<number>): readonly number[] {
    this.#foreign.clear();
    const displaced: number[] = [];
    for (const id of ids) {
      this.#foreign.add(id);
      const gateway = this.#gateways.get(id);
      if (gateway === undefined) continue;
      this.#gateways.delete(id);
      this.#ids.delete(gateway);
      displaced.push(id);
    }
    return displaced;
  }

  #assign(id: number, key: GatewayKey): void {
    this.#ids.set(key, id);
    this.#gateways.set(id, key);
  }

  #isTaken(id: number): boolean {
    return this.#gateways.has(id) || this.#foreign.has(id);
  }
}
