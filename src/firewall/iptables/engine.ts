/** The iptables engine: iptables-save to look, iptables-restore to change, ip6tables for IPv6. */
import { isCode } from '../../base/errors.ts';
import { FAMILIES, type Family } from '../../base/ip.ts';
import {
  type FirewallChange,
  FirewallError,
  type Plan,
  type RuleEngine,
  type RunProgram,
  refusalOf,
  type Wanted,
} from '../engine.ts';
import { obstaclesInSaved } from '../obstacles.ts';
import type { RuleSet } from '../rules.ts';
import { API_HOOK, isInputGuarded, TUNNEL_HOOK } from './hooks.ts';
import { parseSave, type SavedTables } from './saved.ts';
import { neededOf, planScript } from './script.ts';

/** Seconds to wait for another user of the lock of the legacy variant. */
const LOCK_WAIT = '5';

export interface IptablesOptions {
  /** Only the rules without which others stop the overlay: what is wanted is elsewhere. */
  readonly onlyNeeded: boolean;
  /** The variant that is not simply called `iptables`; a kernel has the rules of both. */
  readonly variant?: 'legacy' | 'nft';
}

export class IptablesEngine implements RuleEngine {
  readonly #run: RunProgram;
  readonly #options: IptablesOptions;

  constructor(run: RunProgram, options: IptablesOptions) {
    this.#run = run;
    this.#options = options;
  }

  async plan(wanted: Wanted): Promise<Plan> {
    const plans = await Promise.all(FAMILIES.map(family => this.#planFamily(family, wanted[family])));
    return {
      changes: plans.flatMap(({ change }) => change ?? []),
      obstacles: plans.flatMap(({ obstacles }) => obstacles),
      isInputGuarded: plans.some(plan => plan.isInputGuarded),
      isInUse: plans.some(plan => plan.isInUse),
    };
  }

  async verify(wanted: Wanted): Promise<void> {
    const {
      changes: [change],
    } = await this.plan(wanted);
    if (change === undefined) return;
    throw new FirewallError('NOT_APPLIED', `${change.program}: still ${change.differences.join('; ')}`, {
      op: change.program,
      hint: 'another program may be changing the same rules',
    });
  }

  async #planFamily(family: Family, wanted: RuleSet): Promise<FamilyPlan> {
    const saved = await this.#save(family, isEmpty(wanted) || this.#options.onlyNeeded);
    if (saved === undefined)
      return { change: undefined, obstacles: [], isInputGuarded: false, isInUse: false };
    const script = planScript(saved, this.#options.onlyNeeded ? neededOf(saved, wanted) : wanted);
    const program = `${this.#program(family)}-restore`;
    return {
      change: script && { ...script, program, args: ['--noflush', '-w', LOCK_WAIT] },
      obstacles: obstaclesInSaved(this.#program(family), saved, wanted.packets),
      isInputGuarded: [TUNNEL_HOOK, API_HOOK].some(hook => isInputGuarded(saved, hook, wanted)),
      isInUse: saved.size > 0,
    };
  }

  #program(family: Family): string {
    const { variant } = this.#options;
    return `${family === 'ipv4' ? 'iptables' : 'ip6tables'}${variant === undefined ? '' : `-${variant}`}`;
  }

  /** undefined when the program is not there, which `optional` allows: then it has left no rules either. */
  async #save(family: Family, optional: boolean): Promise<SavedTables | undefined> {
    const program = `${this.#program(family)}-save`;
    try {
      // It lists the tables that the kernel has, and loads no module for others.
      const result = await this.#run(program, [], { anyStatus: true });
      if (result.status === 0) return parseSave(result.stdout);
      // A kernel without IPv6 or without the legacy tables has no rules of ours either.
      if (optional) return undefined;
      throw refusalOf(program, result);
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
      if (optional) return undefined;
      throw new FirewallError('NO_PROGRAM', `${program} is not installed`, {
        op: program,
        hint: 'install iptables, or set EnableNFTables in the network configuration',
        cause: error,
      });
    }
  }
}

interface FamilyPlan extends Omit<Plan, 'changes'> {
  readonly change: FirewallChange | undefined;
}

const isEmpty = ({ masquerade, forward, overlay, source, mark, tunnel, api }: RuleSet) =>
  [masquerade, forward, overlay, source, mark, tunnel, api].every(({ length }) => length === 0);
