/**
 * Rules of nftables, and of iptables and ebtables that are built on it, that judge each packet which hosts forward, or
 * send to each other in a tunnel.
 */
import * as constants from '../../netlink/netfilter/constants.ts';
import type { ReadExpression } from '../../netlink/netfilter/expression.ts';
import type { KernelChain, KernelRule, KernelRules } from '../../netlink/netfilter/ruleset.ts';
import type { NftFamily } from '../../netlink/netfilter/trace-event.ts';
import { type FastTraffic, looksAtPassingBits, mayBeMet, type Packets, packetsOf } from './conditions.ts';
import {
  type JudgingRule,
  MEASURES,
  type Measure,
  OF_FLOWS,
  XT_MATCHES,
  XT_TARGETS,
  XT_WATCHING,
} from './judging-rule.ts';

const [PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING] = [0, 1, 2, 3, 4];
const FORWARDED = [PREROUTING, FORWARD, POSTROUTING];
const OF_HOST = [PREROUTING, INPUT, OUTPUT, POSTROUTING];

type Hooks = Partial<Record<NftFamily, readonly number[] | undefined>>;

/** Hooks that packets pass; undefined: all of them. */
const HOOKS: Readonly<Record<Packets['of'], Hooks>> = {
  flow: { ip: FORWARDED, inet: FORWARDED, bridge: undefined, netdev: undefined },
  tunnel: { ip: OF_HOST, inet: OF_HOST, netdev: undefined },
};

/** Tables of ours, which are made so that it does not matter to them. */
const OURS = /^(tulle-|flannel-ipv)/;

/** Whether rules of a table may judge packets that take the fast path, which are of IPv4. */
export const isOfInterest = ({ family, table }: Pick<KernelChain, 'family' | 'table'>): boolean =>
  family in HOOKS.flow && !OURS.test(table);

/** In the order in which the kernel lists them; what only packets of tunnels meet comes last. */
export function judgingInRuleset(ruleset: KernelRules, traffic: FastTraffic = {}): JudgingRule[] {
  const found = packetsOf(traffic).flatMap(packets => judgingOf(ruleset, packets));
  return [...new Map(found.map(rule => [`${rule.look}\n${rule.rule}`, rule])).values()];
}

function judgingOf({ chains, rules }: KernelRules, packets: Packets): JudgingRule[] {
  const byTable = Map.groupBy(rules.filter(isOfInterest), ({ family, table }) => `${family} ${table}`);
  return Array.from(byTable, ([table, all]) => {
    const byChain = Map.groupBy(all, ({ chain }) => chain);
    const bases = chains.filter(one => `${one.family} ${one.table}` === table && isPassed(one, packets));
    const met = reachable(
      bases.map(({ chain }) => chain),
      byChain,
      packets,
    );
    return all.filter(({ chain }) => met.has(chain)).flatMap(rule => judging(rule, byChain, packets) ?? []);
  }).flat();
}

/** A chain for translations of addresses sees the first packet of each connection only. */
function isPassed({ family, hook, type }: KernelChain, { of }: Packets): boolean {
  if (hook === undefined || type === 'nat' || !(family in HOOKS[of])) return false;
  return HOOKS[of][family]?.includes(hook) ?? true;
}

type ChainsOfTable = ReadonlyMap<string, readonly KernelRule[]>;

/** Chains that rules lead to which may be met. Elements of a map of verdicts are not read: it may lead everywhere. */
function reachable(bases: readonly string[], chains: ChainsOfTable, packets: Packets): ReadonlySet<string> {
  const found = new Set(bases);
  for (const chain of found) {
    for (const { expressions } of chains.get(chain) ?? [])
      for (const step of mayBeMet(expressions, packets) ? expressions : []) {
        if (step.kind === 'verdict' && step.chain !== undefined) found.add(step.chain);
        if (step.kind === 'lookup' && step.hasVerdict) for (const name of chains.keys()) found.add(name);
      }
  }
  return found;
}

function judging(rule: KernelRule, chains: ChainsOfTable, packets: Packets): JudgingRule | undefined {
  const { family, table, chain, handle, expressions } = rule;
  const matters = (measure: Measure) => packets.of === 'flow' || !OF_FLOWS.has(measure);
  const own = expressions.flatMap(step => ownMeasure(step) ?? []).filter(matters);
  const looks = expressions.flatMap(step => measureOf(step) ?? []).filter(matters);
  if (packets.of === 'flow' && looksAtPassingBits(expressions)) looks.push('header');
  const measures = [...looks, ...own];
  const effect = expressions.map(step => effectOf(step, chains)).findLast(one => one !== undefined);
  if (measures.length === 0 || (effect === undefined && own.length === 0)) return undefined;
  if (!mayBeMet(expressions, packets)) return undefined;
  const words = [...new Set(measures)].map(measure => MEASURES[measure]);
  return {
    where: `chain ${chain} of nftables table ${family} ${table}`,
    rule: [...words, ...(effect === undefined ? [] : [effect])].join(', '),
    look: `nft -a list chain ${family} ${table} ${chain} (handle ${handle})`,
  };
}

const STEPS: Readonly<Record<string, Measure>> = {
  limit: 'rate',
  quota: 'quota',
  connlimit: 'connections',
  numgen: 'chance',
};
const OBJECTS: ReadonlyMap<number | undefined, Measure> = new Map([
  [constants.NFT_OBJECT_LIMIT, 'rate'],
  [constants.NFT_OBJECT_QUOTA, 'quota'],
  [constants.NFT_OBJECT_CONNLIMIT, 'connections'],
  // Objects of a map, which may be of each kind.
  [undefined, 'rate'],
] as const);
const CT_KEYS: readonly number[] = [constants.NFT_CT_PKTS, constants.NFT_CT_BYTES, constants.NFT_CT_AVGPKT];
/** Of TCP and UDP: what packets of a flow have in common ends here, but for some flags of TCP (`looksAtPassingBits`). */
const [END_OF_PORTS, FLAGS_OF_TCP] = [4, 13];
/** Of IPv4: the length of the packet; its identification. */
const [LENGTH, ID] = [2, 4];
/** Between it and the TTL: the identification, and whether the packet may be cut. */
const TTL = 8;

/** What of a packet the rule looks at, to decide. */
function measureOf(step: ReadExpression): Measure | undefined {
  switch (step.kind) {
    case 'other':
      return Object.hasOwn(STEPS, step.name) ? STEPS[step.name] : undefined;
    case 'object':
      return OBJECTS.get(step.type);
    case 'update':
      return step.steps.map(name => STEPS[name]).find(measure => measure !== undefined);
    case 'match':
      return Object.hasOwn(XT_MATCHES, step.name) ? XT_MATCHES[step.name] : undefined;
    case 'ct':
      return step.into !== undefined && CT_KEYS.includes(step.key) ? 'bytes' : undefined;
    case 'meta':
      if (step.key === constants.NFT_META_PRANDOM) return 'chance';
      return step.key === constants.NFT_META_LEN ? 'length' : undefined;
    case 'payload':
      return step.into === undefined ? undefined : payloadMeasure(step);
    case 'option':
      return step.isChange || OF_SYN.includes(step.option) || IP_OPTIONS.includes(step.option)
        ? undefined
        : 'header';
    case 'compare':
    case 'lookup':
    case 'mask':
    case 'target':
    case 'verdict':
      return undefined;
  }
}

function payloadMeasure({ base, offset, length }: PayloadStep): Measure | undefined {
  switch (base) {
    case constants.NFT_PAYLOAD_LL_HEADER:
      return undefined;
    case constants.NFT_PAYLOAD_NETWORK_HEADER:
      if (offset === LENGTH && length === 2) return 'length';
      return offset === ID && length === 2 ? 'header' : undefined;
    case constants.NFT_PAYLOAD_TRANSPORT_HEADER:
      return offset + length <= END_OF_PORTS || offset === FLAGS_OF_TCP ? undefined : 'content';
    default:
      return 'content';
  }
}

type PayloadStep = Extract<ReadExpression, { kind: 'payload' }>;

/** What needs each packet, whatever else the rule says. */
function ownMeasure(step: ReadExpression): Measure | undefined {
  switch (step.kind) {
    case 'other':
      return step.name === 'queue' ? 'queue' : step.name === 'dup' ? 'copy' : undefined;
    case 'target':
      if (step.name === 'CT') return ctTarget(step.info);
      return Object.hasOwn(XT_TARGETS, step.name) ? XT_TARGETS[step.name] : undefined;
    case 'ct':
      return step.from !== undefined && step.key === constants.NFT_CT_ZONE ? 'zone' : undefined;
    case 'object':
      return step.type === constants.NFT_OBJECT_CT_HELPER ? 'helper' : undefined;
    case 'payload':
      return step.from !== undefined && !isProvenChange(step) ? 'change' : undefined;
    case 'option':
      return step.isChange && !OF_SYN.includes(step.option) ? 'change' : undefined;
    case 'compare':
    case 'lookup':
    case 'mask':
    case 'match':
    case 'meta':
    case 'update':
    case 'verdict':
      return undefined;
  }
}

/** Of the IP header: addresses, TOS and TTL: a packet that is changed there is of no flow, or proves the change. */
const isProvenChange = ({ base, offset }: PayloadStep) =>
  base === constants.NFT_PAYLOAD_NETWORK_HEADER && (offset < LENGTH || offset >= TTL);

/**
 * Options of TCP that only the first packets of a connection have (RFC 9293, 7323, 2018): MSS, window scale, SACK
 * permitted.
 */
const OF_SYN: readonly number[] = [2, 3, 4];
/** Record route, loose and strict source route, router alert: packets with options of IP take the normal path. */
const IP_OPTIONS: readonly number[] = [7, 131, 137, 148];

/** struct xt_ct_target_info, include/uapi/linux/netfilter/xt_CT.h: flags, zone, two words, name of a helper. */
function ctTarget(info: Uint8Array): Measure | undefined {
  if (info.byteLength < 13) return undefined;
  if (info[2] !== 0 || info[3] !== 0) return 'zone';
  return info[12] === 0 ? undefined : 'helper';
}

const VERDICTS: ReadonlyMap<number, string> = new Map([
  [constants.NF_DROP, 'drop'],
  [constants.NF_ACCEPT, 'accept'],
  [constants.NFT_RETURN, 'return'],
]);

/** What the rule does about a packet; undefined when it only looks on. */
function effectOf(step: ReadExpression, chains: ChainsOfTable): string | undefined {
  switch (step.kind) {
    case 'verdict':
      if (step.code === constants.NFT_JUMP && isWatching(step.chain, chains)) return undefined;
      return step.chain === undefined ? (VERDICTS.get(step.code) ?? 'verdict') : `jump ${step.chain}`;
    case 'lookup':
      return step.hasVerdict ? 'vmap' : undefined;
    case 'target':
      return XT_WATCHING.has(step.name) ? undefined : step.name;
    case 'meta':
    case 'ct':
    case 'payload':
      return step.from === undefined ? undefined : `set ${step.kind}`;
    case 'other':
      return EFFECTS.has(step.name) ? step.name : undefined;
    case 'compare':
    case 'mask':
    case 'match':
    case 'object':
    case 'option':
    case 'update':
      return undefined;
  }
}

const EFFECTS = new Set(['reject', 'fwd', 'synproxy', 'tproxy', 'notrack']);

/** Whether a chain only logs and counts. */
function isWatching(
  chain: string | undefined,
  chains: ChainsOfTable,
  above: readonly string[] = [],
): boolean {
  if (chain === undefined || above.includes(chain)) return false;
  return (chains.get(chain) ?? []).every(({ expressions }) =>
    expressions.every(step =>
      step.kind === 'verdict'
        ? step.code === constants.NFT_RETURN ||
          (step.code === constants.NFT_JUMP && isWatching(step.chain, chains, [...above, chain]))
        : effectOf(step, chains) === undefined && ownMeasure(step) === undefined,
    ),
  );
}
