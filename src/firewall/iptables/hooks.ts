/**
 * The chains of ours in iptables, where they are called from, and which rules of others must not come before. No effects.
 *
 * Per family there are two chains of flannel's, each reached by one jump, which stands at the end, but in front of a rule
 * behind which nothing is reached:
 *
 *     nat     POSTROUTING  -m comment --comment "flanneld masq"    -j FLANNEL-POSTRTG
 *     filter  FORWARD      -m comment --comment "flanneld forward" -j FLANNEL-FWD
 *
 * and these of our own, in front of the first rule that stops our packets, masquerades them or drops them:
 *
 *     nat     POSTROUTING  -m comment --comment "tulle overlay"        -j TULLE-OVERLAY
 *     mangle  PREROUTING   -m comment --comment "tulle overlay"        -j TULLE-OVERLAY
 *     mangle  FORWARD      -m comment --comment "tulle segments"       -j TULLE-SEGMENTS
 *     raw     PREROUTING   -m comment --comment "tulle overlay"        -j TULLE-OVERLAY   \
 *     filter  FORWARD      -m comment --comment "tulle overlay"        -j TULLE-OVERLAY    > only where it is needed
 *     filter  INPUT        -p udp -m comment --comment "tulle tunnel"  -j TULLE-TUNNEL    |
 *     filter  INPUT        -p tcp -m comment --comment "tulle api"     -j TULLE-API       /
 *
 * TULLE-SEGMENTS is in mangle, where neither dockerd nor kube-proxy has a rule that accepts: whichever of their rules of
 * filter comes first, it comes later.
 *
 * TULLE-TUNNEL has a rule per peer, so that a tunnel packet costs time in proportion to the peers (with the nft variant
 * 13 us at 1,000 of them, measured), in both directions of a ping. iptables knows no sets without a program more, ipset.
 *
 * Since version 28 dockerd drops what comes to a container otherwise than through its bridge (moby,
 * daemon/libnetwork/drivers/bridge), in two places:
 *
 *     raw     PREROUTING  -d 172.18.0.2/32 ! -i br-1 [-p tcp -m tcp --dport 80] -j DROP     per container, or port
 *     filter  DOCKER      ! -i br-1 -o br-1 -j DROP                                         per bridge
 *
 * The second is reached from FORWARD before the end, where flannel's chain is.
 */
import { Prefix } from '../../base/prefix.ts';
import { ownerOf } from '../../ownership/owner.ts';
import type { Packet } from '../packets/packet.ts';
import { walk } from '../packets/walk.ts';
import type { RuleSet } from '../rules.ts';
import { readChains, readRule, type SavedTable, type SavedTables } from './saved.ts';

/** One chain of ours and the place it is called from. */
export interface Hook {
  readonly table: 'nat' | 'filter' | 'raw' | 'mangle';
  readonly builtin: 'POSTROUTING' | 'FORWARD' | 'PREROUTING' | 'INPUT';
  readonly chain:
    | 'FLANNEL-POSTRTG'
    | 'FLANNEL-FWD'
    | 'TULLE-SEGMENTS'
    | 'TULLE-OVERLAY'
    | 'TULLE-TUNNEL'
    | 'TULLE-API';
  /** Which packets the jump is for, where not all. */
  readonly condition?: string;
  readonly comment: string;
  /** The kinds of packets that have to get as far as the jump. */
  readonly packets?: readonly (keyof RuleSet['packets'])[];
  /** Whether a rule must not come before the jump, for another reason than what it does to `packets`. */
  readonly blocks: (rule: string) => boolean;
}

const OVERLAY = { chain: 'TULLE-OVERLAY', comment: '-m comment --comment "tulle overlay"' } as const;
const CONTAINERS = ['toHosts', 'fromHosts'] as const;

export const MASQUERADE_HOOK: Hook = {
  table: 'nat',
  builtin: 'POSTROUTING',
  chain: 'FLANNEL-POSTRTG',
  comment: '-m comment --comment "flanneld masq"',
  blocks: isTerminal,
};

export const SOURCE_HOOK: Hook = {
  ...OVERLAY,
  table: 'nat',
  builtin: 'POSTROUTING',
  packets: CONTAINERS,
  blocks: isTerminal,
};

export const MARK_HOOK: Hook = { ...OVERLAY, table: 'mangle', builtin: 'PREROUTING', blocks: isTerminal };

export const ISOLATION_HOOK: Hook = {
  table: 'mangle',
  builtin: 'FORWARD',
  chain: 'TULLE-SEGMENTS',
  comment: '-m comment --comment "tulle segments"',
  blocks: isTerminal,
};

export const FORWARD_HOOK: Hook = {
  table: 'filter',
  builtin: 'FORWARD',
  chain: 'FLANNEL-FWD',
  comment: '-m comment --comment "flanneld forward"',
  blocks: isTerminal,
};

export const RAW_OVERLAY_HOOK: Hook = {
  ...OVERLAY,
  table: 'raw',
  builtin: 'PREROUTING',
  packets: ['fromHosts'],
  blocks: rule => isTerminal(rule) || dropsInRaw([rule]),
};

export const FORWARD_OVERLAY_HOOK: Hook = {
  ...OVERLAY,
  table: 'filter',
  builtin: 'FORWARD',
  packets: CONTAINERS,
  blocks: rule => isTerminal(rule) || leadsToDrop(rule),
};

export const TUNNEL_HOOK: Hook = {
  table: 'filter',
  builtin: 'INPUT',
  chain: 'TULLE-TUNNEL',
  condition: '-p udp',
  comment: '-m comment --comment "tulle tunnel"',
  packets: ['tunnelIn'],
  blocks: isTerminal,
};

export const API_HOOK: Hook = {
  ...TUNNEL_HOOK,
  chain: 'TULLE-API',
  condition: '-p tcp',
  comment: '-m comment --comment "tulle api"',
  packets: ['apiIn'],
};

/** Why forwarded packets that no rule accepts are dropped, or undefined when they are not. */
export function forwardBlocker(saved: SavedTables): string | undefined {
  return defaultDrop(saved, 'FORWARD');
}

/** Whether rules of others accept what a hook of INPUT is for, from all peers: then no rule of ours is needed. */
export function isAcceptedByOthers(saved: SavedTables, hook: Hook, wanted: RuleSet): boolean {
  const table = saved.get('filter') ?? new Map();
  const rules = rulesIn(saved, hook).filter(rule => !isOurs(rule, hook, wanted.networks));
  const read = rules.map(rule => readRule(rule, table));
  return packetsOf(hook, wanted).every(
    packet => walk(read, packet, readChains(table), hook.builtin).kind === 'accept',
  );
}

/** Whether what a hook of INPUT is for gets past it only when a rule accepts it. */
export function isInputGuarded(saved: SavedTables, hook: Hook, wanted: RuleSet): boolean {
  if (packetsOf(hook, wanted).length === 0) return false;
  return defaultDrop(saved, 'INPUT') !== undefined || isBlocked(saved, hook, wanted);
}

const packetsOf = ({ packets = [] }: Hook, wanted: RuleSet): Packet[] =>
  packets.flatMap(kind => wanted.packets[kind] ?? []);

function defaultDrop(saved: SavedTables, name: 'FORWARD' | 'INPUT'): string | undefined {
  const chain = saved.get('filter')?.get(name);
  if (chain === undefined) return undefined;
  if (chain.policy === 'DROP') return `the policy of ${name} is DROP`;
  const rule = chain.rules.find(text => isTerminal(text) && /-j (DROP|REJECT)\b/.test(text));
  return rule === undefined ? undefined : `${name} ends with "${rule}"`;
}

/** Whether a rule of others picks out packets that should get to the jump, and stops them. */
export function isBlocked(saved: SavedTables, hook: Hook, wanted: RuleSet): boolean {
  const stops = stopperOf(saved, hook, wanted);
  return rulesIn(saved, hook).some(
    rule => !isTerminal(rule) && !isOurs(rule, hook, wanted.networks) && stops(rule),
  );
}

export const rulesIn = (saved: SavedTables, { table, builtin }: Hook): readonly string[] =>
  saved.get(table)?.get(builtin)?.rules ?? [];

const OWN_CHAINS: ReadonlySet<string> = new Set(
  [MASQUERADE_HOOK, FORWARD_HOOK, ISOLATION_HOOK, SOURCE_HOOK, TUNNEL_HOOK, API_HOOK].map(
    ({ chain }) => chain,
  ),
);

/** Whether a rule stops a packet of the hook's kinds, or changes its source. */
export function stopperOf(saved: SavedTables, hook: Hook, wanted: RuleSet): (rule: string) => boolean {
  const table = saved.get(hook.table) ?? new Map();
  // What is in our own chains is repaired, not avoided.
  const chains = new Map(Array.from(readChains(table)).filter(([name]) => !OWN_CHAINS.has(name)));
  const packets = packetsOf(hook, wanted);
  return rule => packets.some(packet => isStopped(rule, packet));

  function isStopped(rule: string, packet: Packet): boolean {
    const { kind } = walk([readRule(rule, table)], packet, chains, hook.builtin);
    return kind === 'drop' || kind === 'nat';
  }
}

/** Whether one of these rules of PREROUTING is dockerd's, which drops what comes to a container from elsewhere. */
export function dropsInRaw(rules: readonly string[]): boolean {
  return rules.some(rule => /^-d \S+ ! -i \S+ (-p \S+ -m \S+ --dport \S+ )?-j DROP$/.test(rule));
}

/** Whether dockerd drops forwarded packets unless they come from the bridge they go to. */
export function dropsInForward(filter: SavedTable | undefined): boolean {
  return filter?.get('DOCKER')?.rules.some(rule => /^! -i (\S+) -o \1 -j DROP$/.test(rule)) === true;
}

/** Whether a rule of FORWARD leads to such a drop: DOCKER-FORWARD since 28.0.1, and DOCKER itself before. */
function leadsToDrop(rule: string): boolean {
  return /(^| )-j (DOCKER-FORWARD|DOCKER)$/.test(rule);
}

export const jumpTo = ({ condition, comment, chain }: Hook) =>
  [condition, comment, `-j ${chain}`].filter(part => part !== undefined).join(' ');

/** The jump, however often and however written, and the rules that old versions of flannel put there directly. */
export const isOurs = (rule: string, { comment, chain }: Hook, networks: readonly Prefix[]) =>
  rule.split(' ').includes(chain) || (rule.includes(comment) && ownerOf(blocksIn(rule), networks) === 'ours');

/** The blocks that a rule names, as iptables-save prints them, always with a length; and the one it is for. */
export function blocksIn(rule: string): Prefix[] {
  return Array.from(rule.matchAll(/(?:^| )(?:-[sd]|--comment "[a-z]+ [a-z]+ of) ([^\s"]+)/g)).flatMap(
    ([, text = '']) => Prefix.tryParse(text) ?? [],
  );
}

/** A rule without a condition that lets no packet go on. */
function isTerminal(rule: string): boolean {
  return /^(-m comment --comment ("[^"]*"|\S+) )?-j (DROP|REJECT|ACCEPT|RETURN|MASQUERADE|SNAT)\b/.test(rule);
}
