/** The iptables engine: iptables-save to look, iptables-restore to change, ip6tables for IPv6. */
import { isCode } from '../base/errors.ts';
import type { Family } from '../base/ip.ts';
import {
  type Change,
  complaintOf,
  FAMILIES,
  FirewallError,
  type RuleEngine,
  type RunProgram,
  type Wanted,
} from './engine.ts';
import { forwardBlocker, planScript } from './iptables-rules.ts';
import { parseSave, type SavedTables } from './iptables-save.ts';
import type { RuleSet } from './rules.ts';

const PROGRAM = { ipv4: 'iptables', ipv6: 'ip6tables' } as const satisfies Record<Family, string>;

/** Seconds to wait for another user of the lock of the legacy variant. */
const LOCK_WAIT = '5';

export interface IptablesOptions {
  /** Forwarding rules only where something drops what nobody accepts; for hosts whose rules are in nftables. */
  readonly forwardOnlyIfBlocked: boolean;
}

export class IptablesEngine implements RuleEngine {
  readonly #run: RunProgram;
  readonly #options: IptablesOptions;

  constructor(run: RunProgram, options: IptablesOptions) {
    this.#run = run;
    this.#options = options;
  }

  async plan(wanted: Wanted): Promise<readonly Change[]> {
    const changes = await Promise.all(FAMILIES.map(family => this.#planFamily(family, wanted[family])));
    return changes.filter(change => change !== undefined);
  }

  async verify(wanted: Wanted): Promise<void> {
    const [change] = await this.plan(wanted);
    if (change === undefined) return;
    throw new FirewallError('NOT_APPLIED', `${change.program}: still ${change.differences.join('; ')}`, {
      op: change.program,
      hint: 'another program may be changing the same rules',
    });
  }

  async #planFamily(family: Family, wanted: RuleSet): Promise<Change | undefined> {
    const saved = await this.#save(family, isEmpty(wanted) || this.#options.forwardOnlyIfBlocked);
    if (saved === undefined) return undefined;
    const blocked = forwardBlocker(saved) !== undefined;
    const rules = this.#options.forwardOnlyIfBlocked && !blocked ? { ...wanted, forward: [] } : wanted;
    const script = planScript(saved, rules);
    return (
      script && { ...script, program: `${PROGRAM[family]}-restore`, args: ['--noflush', '-w', LOCK_WAIT] }
    );
  }

  /** undefined when the program is not there, which `optional` allows: then it has left no rules either. */
  async #save(family: Family, optional: boolean): Promise<SavedTables | undefined> {
    const program = `${PROGRAM[family]}-save`;
    try {
      const result = await this.#run(program, [], { anyStatus: true });
      if (result.status === 0) return parseSave(result.stdout);
      // A kernel without IPv6 or without the legacy tables has no rules of ours either.
      if (optional) return undefined;
      throw new FirewallError('REFUSED', `${program}: ${complaintOf(result)}`, { op: program });
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

const isEmpty = ({ masquerade, forward, overlay }: RuleSet) =>
  masquerade.length + forward.length + overlay.length === 0;
