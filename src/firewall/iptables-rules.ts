/**
 * Rules as iptables writes them: rendering them exactly as flannel does, and finding the one restore script that
 * leads from what is there to what is wanted. No effects.
 *
 * Per family there are two chains of ours, each reached by one jump:
 *
 *     nat     POSTROUTING  -m comment --comment "flanneld masq"    -j FLANNEL-POSTRTG
 *     filter  FORWARD      -m comment --comment "flanneld forward" -j FLANNEL-FWD
 *
 * and where dockerd drops what comes over the overlay (docker-rules.ts) two more, in front of its rules:
 *
 *     raw     PREROUTING   -m comment --comment "tulle overlay"    -j TULLE-OVERLAY
 *     filter  FORWARD      -m comment --comment "tulle overlay"    -j TULLE-OVERLAY
 */
import { unreachable } from '../base/errors.ts';
import { Prefix } from '../base/prefix.ts';
import { ownerOf } from '../ownership/owner.ts';
import { type Shares, sharesOf } from '../ownership/shared-chain.ts';
import { dropsInForward, dropsInRaw, leadsToDrop } from './docker-rules.ts';
import type { SavedTables } from './iptables-save.ts';
import { type AddressMatch, MASQUERADE_MARK, type Rule, type RuleSet } from './rules.ts';

/** One chain of ours and the place it is called from. */
interface Hook {
  readonly table: 'nat' | 'filter' | 'raw';
  readonly builtin: 'POSTROUTING' | 'FORWARD' | 'PREROUTING';
  readonly chain: 'FLANNEL-POSTRTG' | 'FLANNEL-FWD' | 'TULLE-OVERLAY';
  readonly comment: string;
  /** Whether a rule must not come before the jump: some of our packets do not get past it. */
  readonly blocks: (rule: string) => boolean;
}

const MASQUERADE_HOOK: Hook = {
  table: 'nat',
  builtin: 'POSTROUTING',
  chain: 'FLANNEL-POSTRTG',
  comment: '-m comment --comment "flanneld masq"',
  blocks: isTerminal,
};

const FORWARD_HOOK: Hook = {
  table: 'filter',
  builtin: 'FORWARD',
  chain: 'FLANNEL-FWD',
  comment: '-m comment --comment "flanneld forward"',
  blocks: isTerminal,
};

const OVERLAY = { chain: 'TULLE-OVERLAY', comment: '-m comment --comment "tulle overlay"' } as const;

const RAW_OVERLAY_HOOK: Hook = {
  ...OVERLAY,
  table: 'raw',
  builtin: 'PREROUTING',
  blocks: rule => isTerminal(rule) || dropsInRaw([rule]),
};

const FORWARD_OVERLAY_HOOK: Hook = {
  ...OVERLAY,
  table: 'filter',
  builtin: 'FORWARD',
  blocks: rule => isTerminal(rule) || leadsToDrop(rule),
};

export interface Script {
  readonly differences: readonly string[];
  /** For `iptables-restore --noflush`; each table is changed in one transaction. */
  readonly input: string;
}

/** How to get from `saved` to `wanted`, or undefined when nothing differs. */
export function planScript(saved: SavedTables, wanted: RuleSet): Script | undefined {
  const { masquerade, forward, overlay } = wanted;
  const raw = dropsInRaw(saved.get('raw')?.get('PREROUTING')?.rules ?? []);
  const inForward = dropsInForward(saved.get('filter'));
  const parts = [
    planHook(saved, RAW_OVERLAY_HOOK, raw ? overlay : [], wanted),
    planHook(saved, MASQUERADE_HOOK, masquerade, wanted),
    planHook(saved, FORWARD_OVERLAY_HOOK, inForward ? overlay : [], wanted),
    planHook(saved, FORWARD_HOOK, forward, wanted),
  ].filter(part => part !== undefined);
  if (parts.length === 0) return undefined;
  return {
    differences: parts.flatMap(part => part.differences),
    input: parts.map(({ table, lines }) => [`*${table}`, ...lines, 'COMMIT', ''].join('\n')).join(''),
  };
}

/** Why forwarded packets that nobody accepts are dropped, or undefined when they are not. */
export function forwardBlocker(saved: SavedTables): string | undefined {
  const forward = saved.get('filter')?.get('FORWARD');
  if (forward === undefined) return undefined;
  if (forward.policy === 'DROP') return 'the policy of FORWARD is DROP';
  const rule = forward.rules.find(text => isTerminal(text) && /-j (DROP|REJECT)\b/.test(text));
  return rule === undefined ? undefined : `FORWARD ends with "${rule}"`;
}

function planHook(
  saved: SavedTables,
  hook: Hook,
  wanted: readonly Rule[],
  { networks, randomFully }: Pick<RuleSet, 'networks' | 'randomFully'>,
) {
  const chains = saved.get(hook.table);
  const chain = chains?.get(hook.chain)?.rules;
  const callers = chains?.get(hook.builtin)?.rules ?? [];
  const jumps = callers.filter(rule => isOurs(rule, hook, networks));
  const dropJumps = jumps.map(rule => `-D ${hook.builtin} ${rule}`);
  const shares = chain && sharesOf(chain, blocksIn, networks);

  if (wanted.length === 0) {
    const lines = removal(hook, shares, dropJumps);
    const differences = [`chain ${hook.chain} is not wanted`];
    return lines.length === 0 ? undefined : { table: hook.table, differences, lines };
  }

  const rules = wanted.map(rule => formatRule(rule, hook.comment, randomFully));
  const chainProblem = chainDifference(shares?.ours, rules, hook);
  const jumpProblem = jumpDifference(callers, jumps, hook);
  if (chainProblem === undefined && jumpProblem === undefined) return undefined;
  const others = shares?.others.filter(rule => !rules.includes(rule)) ?? [];
  // Naming a chain with --noflush empties it, within the transaction.
  const refill = [`:${hook.chain} - [0:0]`, ...[...rules, ...others].map(rule => `-A ${hook.chain} ${rule}`)];
  return {
    table: hook.table,
    differences: [chainProblem, jumpProblem].filter(problem => problem !== undefined),
    lines: [
      ...(chainProblem === undefined ? [] : refill),
      ...(jumpProblem === undefined ? [] : [...dropJumps, addJump(callers, jumps, hook)]),
    ],
  };
}

/** Of a chain that another network uses as well, our rules go; else the chain goes, and all that leads to it. */
function removal(
  { chain }: Hook,
  shares: Shares<string> | undefined,
  dropJumps: readonly string[],
): string[] {
  if (shares === undefined) return [...dropJumps];
  if (shares.others.length === 0) return [...dropJumps, `-F ${chain}`, `-X ${chain}`];
  return shares.ours.map(rule => `-D ${chain} ${rule}`);
}

function chainDifference(chain: readonly string[] | undefined, wanted: readonly string[], hook: Hook) {
  if (chain === undefined) return `chain ${hook.chain} is missing`;
  const missing = wanted.filter(rule => !chain.includes(rule));
  if (missing.length === 1) return `chain ${hook.chain} lacks "${missing[0]}"`;
  if (missing.length > 1) return `chain ${hook.chain} lacks ${missing.length} of its ${wanted.length} rules`;
  if (chain.length > wanted.length) return `chain ${hook.chain} has rules that do not belong there`;
  return chain.every((rule, index) => rule === wanted[index])
    ? undefined
    : `the rules of chain ${hook.chain} are in the wrong order`;
}

function jumpDifference(callers: readonly string[], ours: readonly string[], hook: Hook) {
  const place = `${hook.builtin} of table ${hook.table}`;
  if (ours.length === 0) return `${place} does not call ${hook.chain}`;
  if (ours.length > 1 || ours[0] !== jumpTo(hook)) return `${place} holds old rules of ours`;
  const position = callers.indexOf(jumpTo(hook));
  return callers.slice(0, position).some(hook.blocks)
    ? `${place} ends before it calls ${hook.chain}`
    : undefined;
}

/** The jump goes to the end, as flannel's does, but in front of a rule behind which nothing is reached. */
function addJump(callers: readonly string[], jumps: readonly string[], hook: Hook): string {
  const foreign = callers.filter(rule => !jumps.includes(rule));
  const end = foreign.findIndex(hook.blocks);
  return end < 0 ? `-A ${hook.builtin} ${jumpTo(hook)}` : `-I ${hook.builtin} ${end + 1} ${jumpTo(hook)}`;
}

const jumpTo = ({ comment, chain }: Hook) => `${comment} -j ${chain}`;

/** The jump, however often and however written, and the rules that old versions of flannel put there directly. */
const isOurs = (rule: string, { comment, chain }: Hook, networks: readonly Prefix[]) =>
  rule.split(' ').includes(chain) || (rule.includes(comment) && ownerOf(blocksIn(rule), networks) === 'ours');

/** The blocks that a rule names, as iptables-save prints them: always with a length. */
function blocksIn(rule: string): Prefix[] {
  return Array.from(rule.matchAll(/(?:^| )-[sd] (\S+)/g)).flatMap(
    ([, text = '']) => Prefix.tryParse(text) ?? [],
  );
}

/** A rule without a condition that lets no packet go on. */
function isTerminal(rule: string): boolean {
  return /^(-m comment --comment ("[^"]*"|\S+) )?-j (DROP|REJECT|ACCEPT|RETURN|MASQUERADE|SNAT)\b/.test(rule);
}

/** One rule as iptables-save prints it, without its chain. */
function formatRule(rule: Rule, comment: string, randomFully: boolean): string {
  const mark = `0x${MASQUERADE_MARK.toString(16)}`;
  return [
    rule.source && formatMatch('-s', rule.source),
    rule.destination && formatMatch('-d', rule.destination),
    rule.device && `-i ${rule.device}`,
    rule.mark && `-m mark --mark ${mark}/${mark}`,
    comment,
    formatVerdict(rule.verdict, randomFully),
  ]
    .filter(part => part !== undefined)
    .join(' ');
}

const formatMatch = (flag: '-s' | '-d', { prefix, not }: AddressMatch) =>
  `${not ? '! ' : ''}${flag} ${prefix}`;

function formatVerdict(verdict: Rule['verdict'], randomFully: boolean): string {
  switch (verdict) {
    case 'return':
      return '-j RETURN';
    case 'accept':
      return '-j ACCEPT';
    case 'masquerade':
      return randomFully ? '-j MASQUERADE --random-fully' : '-j MASQUERADE';
    default:
      return unreachable(verdict);
  }
}
