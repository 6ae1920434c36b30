/**
 * The way of a packet through chains of rules, as far as the rules' text shows it. A rule that may be there to let the
 * packets pass counts as one that does, so that nothing is reported as an obstacle that is none.
 */
import { answerAll, isAbout, type Packet, type PacketCondition } from './packet.ts';

export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  /** `isMasquerade`: the source becomes the address of the link that it leaves by. */
  | { readonly kind: 'nat'; readonly isMasquerade?: true }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  /** The packet goes on, perhaps changed or counted. */
  | { readonly kind: 'none' };

export interface ReadRule {
  readonly conditions: readonly PacketCondition[];
  readonly verdict: Verdict;
  /** As a person would find it. */
  readonly text: string;
  /** What it makes of the mark: the bits of the mask are replaced. */
  readonly mark?: { readonly value: number; readonly mask: number };
  /** Of nftables, by which the rule is deleted. */
  readonly handle?: number;
}

/** Chain name -> rules, of one table. */
export type ReadChains = ReadonlyMap<string, readonly ReadRule[]>;

export type Fate =
  | { readonly kind: 'continue' | 'accept' | 'maybe' }
  | { readonly kind: 'drop' | 'nat'; readonly rule: ReadRule; readonly chain: string };

const CONTINUE: Fate = { kind: 'continue' };
const MAYBE: Fate = { kind: 'maybe' };

/** Deeper than any ruleset of a person; the kernel refuses loops. */
const MAX_DEPTH = 16;

/** What `rules`, which stand in `chain`, do to all packets of a kind, or to all of one host. */
export function walk(
  rules: readonly ReadRule[],
  packet: Packet,
  chains: ReadChains,
  chain: string,
  depth = 0,
): Fate {
  if (depth > MAX_DEPTH) return MAYBE;
  let maybe = false;
  for (const rule of rules) {
    const answer = answerAll(rule.conditions, packet);
    if (answer === 'no') continue;
    const fate = fateOf(rule, packet, chains, chain, depth);
    if (answer === 'yes') {
      if (rule.verdict.kind === 'return') return maybe ? MAYBE : CONTINUE;
      if (fate.kind === 'maybe') maybe = true;
      else if (fate.kind !== 'continue') return maybe ? MAYBE : fate;
      if (rule.verdict.kind === 'goto') return maybe ? MAYBE : CONTINUE;
      continue;
    }
    if (fate.kind === 'drop' || fate.kind === 'nat') {
      if (answer === 'host' && !maybe) return fate;
      continue;
    }
    const letsPass = fate.kind !== 'continue' || rule.verdict.kind === 'return';
    if (letsPass && (answer === 'unknown' || isAbout(rule.conditions, packet))) maybe = true;
  }
  return maybe ? MAYBE : CONTINUE;
}

function fateOf(rule: ReadRule, packet: Packet, chains: ReadChains, chain: string, depth: number): Fate {
  const { verdict } = rule;
  switch (verdict.kind) {
    case 'accept':
      return { kind: 'accept' };
    case 'drop':
    case 'nat':
      return { kind: verdict.kind, rule, chain };
    case 'jump':
    case 'goto':
      return walk(chains.get(verdict.chain) ?? [], packet, chains, verdict.chain, depth + 1);
    case 'return':
    case 'none':
      return CONTINUE;
  }
}
