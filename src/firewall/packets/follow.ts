/**
 * One packet through chains of rules, to tell a rule that surely stops it from one that may. walk.ts is about kinds of packets
 * and reports no obstacle that may be none; here nothing that may be one is left out.
 */
import { answerAll, type Packet } from './packet.ts';
import type { ReadChains, ReadRule } from './walk.ts';

/** Where a packet is dropped or translated. */
export interface Stop {
  readonly kind: 'drop' | 'nat';
  readonly chain: string;
  readonly rule: ReadRule;
}

export interface Followed {
  /** `stopped`: by the last of `stops`, surely; `continue`: the policy decides, surely where `isSure`. */
  readonly end: 'accept' | 'stopped' | 'continue';
  /** Whether no rule before it may have ended the way of the packet otherwise. */
  readonly isSure: boolean;
  /** Rules that stop it surely (the last one, where it ends so), or may. */
  readonly stops: readonly Stop[];
  /** Of the packet, after rules that surely change it. */
  readonly mark: number;
}

/** Deeper than any ruleset of a person; the kernel refuses loops. */
const MAX_DEPTH = 16;

/** @param chain the name of the one to begin with */
export function follow(packet: Packet, chains: ReadChains, chain: string): Followed {
  const state = { isSure: true, stops: [] as Stop[], mark: packet.mark };
  const end = through(chain, true, 0);
  return { end: end === 'return' ? 'continue' : end, ...state };

  /** @param isCertain whether the packet is here at all */
  function through(name: string, isCertain: boolean, depth: number): Followed['end'] | 'return' {
    if (depth > MAX_DEPTH) {
      state.isSure = false;
      return 'continue';
    }
    for (const rule of chains.get(name) ?? []) {
      const answer = answerAll(rule.conditions, { ...packet, mark: state.mark });
      if (answer === 'no') continue;
      const applies = isCertain && answer === 'yes';
      const { verdict } = rule;
      if (applies && rule.mark !== undefined)
        state.mark = ((state.mark & ~rule.mark.mask) | rule.mark.value) >>> 0;
      if (verdict.kind === 'none') continue;
      if (verdict.kind === 'drop' || verdict.kind === 'nat') {
        state.stops.push({ kind: verdict.kind, chain: name, rule });
        if (applies) return 'stopped';
        continue;
      }
      if (verdict.kind === 'jump' || verdict.kind === 'goto') {
        const end = through(verdict.chain, applies, depth + 1);
        if (!applies) continue;
        if (end === 'accept' || end === 'stopped') return end;
        if (verdict.kind === 'goto') return 'continue';
        continue;
      }
      if (applies) return verdict.kind === 'accept' ? 'accept' : 'return';
      state.isSure = false;
    }
    return 'continue';
  }
}
