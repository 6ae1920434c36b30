/**
 * Rules as iptables writes them: rendering them exactly as flannel does, and finding the one restore script that
 * leads from what is there to what is wanted. No effects.
 */
import { unreachable } from '../../base/errors.ts';
import { type Shares, sharesOf } from '../../ownership/shared-chain.ts';
import { OVERLAY_MARK } from '../packets/overlay-packets.ts';
import {
  type AddressMatch,
  type FirewallRule,
  type LinkMatch,
  MASQUERADE_MARK,
  type RuleSet,
} from '../rules.ts';
import {
  API_HOOK,
  blocksIn,
  dropsInForward,
  dropsInRaw,
  FORWARD_HOOK,
  FORWARD_OVERLAY_HOOK,
  forwardBlocker,
  type Hook,
  ISOLATION_HOOK,
  isAcceptedByOthers,
  isBlocked,
  isInputGuarded,
  isOurs,
  jumpTo,
  MARK_HOOK,
  MASQUERADE_HOOK,
  RAW_OVERLAY_HOOK,
  rulesIn,
  SOURCE_HOOK,
  stopperOf,
  TUNNEL_HOOK,
} from './hooks.ts';
import type { SavedTables } from './saved.ts';

export interface Script {
  readonly differences: readonly string[];
  /** For `iptables-restore --noflush`; each table is changed in one transaction. */
  readonly input: string;
}

/** How to get from `saved` to `wanted`, or undefined when nothing differs. */
export function planScript(saved: SavedTables, wanted: RuleSet): Script | undefined {
  const { masquerade, forward, isolation, source, mark, overlay, tunnel, api } = wanted;
  const isRawNeeded =
    isBlocked(saved, RAW_OVERLAY_HOOK, wanted) || dropsInRaw(rulesIn(saved, RAW_OVERLAY_HOOK));
  const isForwardNeeded =
    isBlocked(saved, FORWARD_OVERLAY_HOOK, wanted) || dropsInForward(saved.get('filter'));
  // Two jumps may be inserted into one chain: the second finds the first.
  const callers = new Map<string, readonly string[]>();
  const plan = (hook: Hook, rules: readonly FirewallRule[]) => {
    const place = `${hook.table} ${hook.builtin}`;
    const part = planHook(saved, hook, callers.get(place) ?? rulesIn(saved, hook), rules, wanted);
    if (part !== undefined) callers.set(place, part.callers);
    return part;
  };
  const needsAccept = (hook: Hook) =>
    isInputGuarded(saved, hook, wanted) && !isAcceptedByOthers(saved, hook, wanted);
  const parts = [
    // Where a packet goes out is not known yet in PREROUTING.
    plan(RAW_OVERLAY_HOOK, isRawNeeded ? overlay.filter(({ input }) => input !== undefined) : []),
    plan(MARK_HOOK, mark),
    plan(SOURCE_HOOK, source),
    plan(MASQUERADE_HOOK, masquerade),
    plan(ISOLATION_HOOK, isolation),
    plan(FORWARD_OVERLAY_HOOK, isForwardNeeded ? overlay : []),
    plan(FORWARD_HOOK, forward),
    plan(TUNNEL_HOOK, needsAccept(TUNNEL_HOOK) ? tunnel : []),
    plan(API_HOOK, needsAccept(API_HOOK) ? api : []),
  ].filter(part => part !== undefined);
  if (parts.length === 0) return undefined;
  return {
    differences: parts.flatMap(part => part.differences),
    input: parts.map(({ table, lines }) => [`*${table}`, ...lines, 'COMMIT', ''].join('\n')).join(''),
  };
}

/** What is needed of `wanted` where the rules of this host are kept by something else. */
export function neededOf(saved: SavedTables, wanted: RuleSet): RuleSet {
  return {
    ...wanted,
    masquerade: [],
    mark: [],
    isolation: [],
    source: isBlocked(saved, SOURCE_HOOK, wanted) ? wanted.source : [],
    forward: forwardBlocker(saved) === undefined ? [] : wanted.forward,
  };
}

function planHook(
  saved: SavedTables,
  hook: Hook,
  callers: readonly string[],
  wanted: readonly FirewallRule[],
  all: RuleSet,
) {
  const { table, builtin } = hook;
  const { networks, randomFully } = all;
  const chain = saved.get(table)?.get(hook.chain)?.rules;
  const jumps = callers.filter(rule => isOurs(rule, hook, networks));
  const foreign = callers.filter(rule => !jumps.includes(rule));
  const dropJumps = jumps.map(rule => `-D ${builtin} ${rule}`);
  const shares = chain && sharesOf(chain, blocksIn, networks);

  if (wanted.length === 0) {
    const lines = removal(hook, shares, dropJumps);
    if (lines.length === 0) return undefined;
    const isUsedByOthers = shares !== undefined && shares.others.length > 0;
    const differences = [`chain ${labelOf(hook)} should not exist`];
    return { table, callers: isUsedByOthers ? callers : foreign, differences, lines };
  }

  const stops = stopperOf(saved, hook, all);
  const blocks = (rule: string) => hook.blocks(rule) || stops(rule);
  const rules = wanted.map(rule => formatRule(rule, hook.comment, randomFully));
  const chainProblem = chainDifference(shares?.ours, rules, hook);
  const jumpProblem = jumpDifference(callers, jumps, hook, blocks);
  if (chainProblem === undefined && jumpProblem === undefined) return undefined;
  const others = shares?.others.filter(rule => !rules.includes(rule)) ?? [];
  // Naming a chain with --noflush empties it, within the transaction.
  const refill = [`:${hook.chain} - [0:0]`, ...[...rules, ...others].map(rule => `-A ${hook.chain} ${rule}`)];
  const jump = addJump(foreign, hook, blocks);
  return {
    table,
    callers: jumpProblem === undefined ? callers : jump.callers,
    differences: [chainProblem, jumpProblem].filter(problem => problem !== undefined),
    lines: [
      ...(chainProblem === undefined ? [] : refill),
      ...(jumpProblem === undefined ? [] : [...dropJumps, jump.line]),
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

/** For a chain that is in several tables. */
const labelOf = ({ chain, table }: Hook) =>
  chain === 'TULLE-OVERLAY' ? `${chain} of table ${table}` : chain;

function chainDifference(chain: readonly string[] | undefined, wanted: readonly string[], hook: Hook) {
  if (chain === undefined) return `chain ${labelOf(hook)} is missing`;
  const missing = wanted.filter(rule => !chain.includes(rule));
  if (missing.length === 1) return `chain ${labelOf(hook)} lacks "${missing[0]}"`;
  if (missing.length > 1)
    return `chain ${labelOf(hook)} lacks ${missing.length} of its ${wanted.length} rules`;
  if (chain.length > wanted.length) return `chain ${labelOf(hook)} has unexpected rules`;
  return chain.every((rule, index) => rule === wanted[index])
    ? undefined
    : `the rules of chain ${labelOf(hook)} are in the wrong order`;
}

function jumpDifference(
  callers: readonly string[],
  ours: readonly string[],
  hook: Hook,
  blocks: (rule: string) => boolean,
) {
  const place = `${hook.builtin} of table ${hook.table}`;
  if (ours.length === 0) return `${place} does not call ${hook.chain}`;
  if (ours.length > 1 || ours[0] !== jumpTo(hook)) return `${place} has outdated rules of Tulle`;
  const position = callers.indexOf(jumpTo(hook));
  return callers.slice(0, position).some(blocks) ? `${place} ends before it calls ${hook.chain}` : undefined;
}

/** The jump goes to the end, as flannel's does, but in front of a rule that keeps our packets from it. */
function addJump(foreign: readonly string[], hook: Hook, blocks: (rule: string) => boolean) {
  const found = foreign.findIndex(blocks);
  const end = found < 0 ? foreign.length : found;
  return {
    line: found < 0 ? `-A ${hook.builtin} ${jumpTo(hook)}` : `-I ${hook.builtin} ${end + 1} ${jumpTo(hook)}`,
    callers: foreign.toSpliced(end, 0, jumpTo(hook)),
  };
}

/** One rule as iptables-save prints it, without its chain. */
function formatRule(rule: FirewallRule, comment: string, randomFully: boolean): string {
  const mark = hex(MASQUERADE_MARK);
  return [
    rule.source && formatMatch('-s', rule.source),
    rule.destination && formatMatch('-d', rule.destination),
    rule.input && formatLink('-i', rule.input),
    rule.output && formatLink('-o', rule.output),
    rule.port && `-p ${rule.port.protocol} -m ${rule.port.protocol} --dport ${rule.port.number}`,
    rule.mark && `-m mark --mark ${mark}/${mark}`,
    rule.isRedirected && '-m conntrack --ctstate DNAT',
    rule.network === undefined ? comment : comment.replace(/"$/, ` of ${rule.network}"`),
    formatVerdict(rule.verdict, randomFully),
  ]
    .filter(part => part !== undefined)
    .join(' ');
}

const formatMatch = (flag: '-s' | '-d', { prefix, not }: AddressMatch) =>
  `${not ? '! ' : ''}${flag} ${prefix}`;

const formatLink = (flag: '-i' | '-o', { name, not }: LinkMatch) =>
  `${not ? '! ' : ''}${flag} ${name.replace(/\*$/, '+')}`;

const hex = (value: number) => `0x${value.toString(16)}`;

function formatVerdict(verdict: FirewallRule['verdict'], randomFully: boolean): string {
  switch (verdict) {
    case 'return':
      return '-j RETURN';
    case 'accept':
    case 'keep':
      return '-j ACCEPT';
    case 'drop':
      return '-j DROP';
    case 'mark':
      return `-j MARK --set-xmark ${hex(OVERLAY_MARK)}/${hex(OVERLAY_MARK)}`;
    case 'masquerade':
      return randomFully ? '-j MASQUERADE --random-fully' : '-j MASQUERADE';
    default:
      return unreachable(verdict);
  }
}
