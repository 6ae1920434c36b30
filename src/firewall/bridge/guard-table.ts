/**
 * The table of family bridge that guards L2 networks, as the JSON of nft (libnftables-json(5)). Per network, with the
 * name NAME: the chains `NAME-in` for frames from the tunnel, `NAME-out` for those into it, `NAME-refused` for those of
 * ports behind which a station uses an address of another one; with the sets, limits and counters of the three. A frame
 * of any other link costs one lookup in a map:
 *
 *     prerouting   iifname vmap { tv-blue : jump blue-in, te-1c2d : jump blue-refused }
 *     postrouting  oifname vmap { tv-blue : jump blue-out }
 *
 * Maps, sets, limits and counters are named objects: they keep their content when the rules are written again.
 */
import { formatHex } from '../../base/bytes.ts';
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { type PerFamily, valuesOf } from '../../base/per-family.ts';
import type { Json } from '../nftables/table.ts';

export const GUARD_TABLE = 'tulle-segments';

/** How one L2 network is guarded on this host. */
export interface SegmentGuard {
  /** Of the network. */
  readonly name: string;
  /** The port of its bridge that leads to the other hosts. */
  readonly tunnelLink: string;
  /** Every host's bridge has these, so nothing about them crosses the tunnel. */
  readonly gateway: { readonly mac: Mac; readonly addresses: PerFamily<Ip> };
  /** Flooded frames per second that cross the tunnel, in each direction: broadcast, multicast, unknown unicast. */
  readonly floodLimit: number;
  /** MAC addresses of stations, on this host or not: frames to them are not flooded. */
  readonly known: readonly Mac[];
  readonly refused: readonly RefusedStation[];
}

/** A station of this host that uses an address of another one: its frames with that address go nowhere. */
export interface RefusedStation {
  /** Name of the link behind which it is. */
  readonly port: string;
  readonly ip: Ip;
  readonly mac: Mac;
}

/** Why a frame went no further; each is counted. */
export const GUARD_DROP_REASONS = [
  'flood-out',
  'flood-in',
  'gateway-out',
  'gateway-in',
  'duplicate',
] as const;
export type GuardDropReason = (typeof GUARD_DROP_REASONS)[number];

/** Of a network: MAC addresses of stations. */
export const knownSetOf = (network: string): string => `${network}-known`;

/** An object of the table that has content: a map, a set, a counter, a limit. As nft lists it, without its elements. */
export interface GuardObject {
  readonly kind: 'map' | 'set' | 'counter' | 'limit';
  readonly name: string;
  readonly properties: { readonly [key: string]: Json };
  /** Of maps and sets, each as nft's JSON in text. */
  readonly elements?: ReadonlySet<string>;
}

export interface GuardChain {
  readonly name: string;
  /** Absent for one that a map leads to. */
  readonly hook?: 'prerouting' | 'postrouting';
  /** The expressions of each rule. */
  readonly rules: readonly (readonly Json[])[];
}

export interface GuardRuleset {
  readonly objects: readonly GuardObject[];
  readonly chains: readonly GuardChain[];
}

/** Everything in the table. */
export function guardRuleset(guards: readonly SegmentGuard[]): GuardRuleset {
  if (guards.length === 0) return { objects: [], chains: [] };
  const jump = (link: string, target: string): Json => [link, { jump: { target } }];
  const entering = guards.flatMap(({ name, tunnelLink, refused }) => [
    jump(tunnelLink, `${name}-in`),
    ...refused.map(({ port }) => jump(port, `${name}-refused`)),
  ]);
  const leaving = guards.map(({ name, tunnelLink }) => jump(tunnelLink, `${name}-out`));
  const lookUp = (key: string, map: string): Json[] => [
    { vmap: { key: { meta: { key } }, data: `@${map}` } },
  ];
  return {
    objects: [
      { kind: 'map', name: 'entering', properties: VERDICTS_BY_LINK, elements: elements(entering) },
      { kind: 'map', name: 'leaving', properties: VERDICTS_BY_LINK, elements: elements(leaving) },
      ...guards.flatMap(objectsOf),
    ],
    chains: [
      ...guards.flatMap(guard => [
        { name: `${guard.name}-in`, rules: rulesFrom(guard) },
        { name: `${guard.name}-out`, rules: rulesInto(guard) },
        { name: `${guard.name}-refused`, rules: refusals(guard) },
      ]),
      { name: 'entering', hook: 'prerouting', rules: [lookUp('iifname', 'entering')] },
      { name: 'leaving', hook: 'postrouting', rules: [lookUp('oifname', 'leaving')] },
    ],
  };
}

const VERDICTS_BY_LINK = { type: 'ifname', map: 'verdict' } as const;

const elements = (values: readonly Json[]) => new Set(values.map(value => JSON.stringify(value)));

function objectsOf({ name, known, refused, floodLimit }: SegmentGuard): GuardObject[] {
  const refusedOf = (family: Ip['family']) =>
    elements(
      refused
        .filter(({ ip }) => ip.family === family)
        .map(({ ip, mac }) => ({ concat: [`${ip}`, `${mac}`] })),
    );
  const limit = { rate: floodLimit, per: 'second', burst: floodLimit };
  return [
    {
      kind: 'set',
      name: knownSetOf(name),
      properties: { type: 'ether_addr' },
      elements: elements(known.map(mac => mac.toString())),
    },
    {
      kind: 'set',
      name: `${name}-refused4`,
      properties: { type: ['ipv4_addr', 'ether_addr'] },
      elements: refusedOf('ipv4'),
    },
    {
      kind: 'set',
      name: `${name}-refused6`,
      properties: { type: ['ipv6_addr', 'ether_addr'] },
      elements: refusedOf('ipv6'),
    },
    ...GUARD_DROP_REASONS.map(reason => ({
      kind: 'counter' as const,
      name: `${name}-${reason}`,
      properties: {},
    })),
    { kind: 'limit', name: `${name}-limit-in`, properties: limit },
    { kind: 'limit', name: `${name}-limit-out`, properties: limit },
  ];
}

function rulesFrom(guard: SegmentGuard): Json[][] {
  return [...gatewayRules(guard, dropCounted(guard.name, 'gateway-in')), ...floodRules(guard.name, 'in')];
}

function rulesInto(guard: SegmentGuard): Json[][] {
  return [...gatewayRules(guard, dropCounted(guard.name, 'gateway-out')), ...floodRules(guard.name, 'out')];
}

/**
 * A refused station still answers its own host, which asks whether it still has the address. Linux advertises an IPv6
 * address from this very address, so that targets need no rule.
 */
function refusals({ name, gateway }: SegmentGuard): Json[][] {
  const from = (ip: Json, set: string): Json[] => [
    equal({ concat: [ip, ETHER('saddr')] }, `@${name}-${set}`),
    ...dropCounted(name, 'duplicate'),
  ];
  return [
    [equal(ETHER('daddr'), `${gateway.mac}`), { return: null }],
    from(ARP('saddr ip'), 'refused4'),
    from({ payload: { protocol: 'ip', field: 'saddr' } }, 'refused4'),
    from({ payload: { protocol: 'ip6', field: 'saddr' } }, 'refused6'),
  ];
}

/** Frames of the gateway or to it, and messages that ask or say where it is. */
function gatewayRules({ gateway: { mac, addresses } }: SegmentGuard, drop: Json[]): Json[][] {
  const about = (ip: Ip): Json[][] =>
    ip.family === 'ipv4'
      ? ['saddr ip', 'daddr ip'].map(field => [equal(ARP(field), `${ip}`), ...drop])
      : ['nd-neighbor-solicit', 'nd-neighbor-advert'].map(type => [
          equal(ICMPV6_TYPE, type),
          equal(ND_TARGET, `0x${formatHex(ip.bytes)}`),
          ...drop,
        ]);
  return [
    [equal(ETHER('saddr'), `${mac}`), ...drop],
    [equal(ETHER('daddr'), `${mac}`), ...drop],
    ...valuesOf(addresses).flatMap(about),
  ];
}

/** What is not flooded passes, and so does as much of the rest as the limit allows. */
function floodRules(name: string, direction: 'in' | 'out'): Json[][] {
  return [
    [equal(ETHER('daddr'), `@${knownSetOf(name)}`), { return: null }],
    [{ limit: `${name}-limit-${direction}` }, { return: null }],
    dropCounted(name, `flood-${direction}`),
  ];
}

const dropCounted = (name: string, reason: GuardDropReason): Json[] => [
  { counter: `${name}-${reason}` },
  { drop: null },
];

const ETHER = (field: 'saddr' | 'daddr') => ({ payload: { protocol: 'ether', field } });
const ARP = (field: string) => ({ payload: { protocol: 'arp', field } });
const ICMPV6_TYPE = { payload: { protocol: 'icmpv6', field: 'type' } };
/** Behind type, code, checksum and 4 bytes (RFC 4861, section 4.3); nft 1.0 has no name for it. */
const ND_TARGET = { payload: { base: 'th', offset: 64, len: 128 } };

const equal = (left: Json, right: Json) => ({ match: { op: '==', left, right } });
