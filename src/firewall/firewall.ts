/**
 * Keeps the firewall of this host as it is wanted. Level-triggered like the data plane: what is wanted is
 * stated as a whole, compared with the kernel, and the difference is made good, one transaction per table.
 * Others flush and reorder rules (firewalld, docker, people), so the kernel's announcements of rule changes
 * lead to the same comparison again.
 *
 * Both engines are always brought to what is wanted of them, which for the one not in use is nothing: so a
 * change of engine leaves no rule of the other behind.
 *
 * In nftables mode an accept in a table of ours does not overrule a drop elsewhere. Where the chain FORWARD of
 * iptables drops (dockerd sets its policy so), the iptables engine adds flannel's accepting chain there.
 */
import { isCode, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import { run as runProgram } from '../sys/process.ts';
import {
  type Change,
  complaintOf,
  type EngineName,
  FirewallError,
  type RuleEngine,
  type RunProgram,
  type Wanted,
} from './engine.ts';
import { IptablesEngine } from './iptables.ts';
import { NftablesEngine } from './nftables.ts';
import { type DesiredFirewall, networksOf, noRules, rulesFor } from './rules.ts';

export interface FirewallOptions {
  readonly log: Logger;
  readonly run?: RunProgram;
}

export interface FirewallReport {
  readonly engine: EngineName;
  /** Whether the kernel tells of changes to rules of this kind; it does not for the legacy iptables. */
  readonly announced: boolean;
  /** What was not as wanted and is now; one sentence each, empty when nothing was written. */
  readonly repaired: readonly string[];
  /** Foreign rules that stop overlay traffic and that are not ours to change. */
  readonly obstacles: readonly string[];
}

/** One engine and what is wanted of it. */
interface Duty {
  readonly engine: RuleEngine;
  readonly wanted: Wanted;
}

export class Firewall {
  readonly #log: Logger;
  readonly #run: RunProgram;
  readonly #iptables: RuleEngine;
  readonly #companion: RuleEngine;
  readonly #nftables: NftablesEngine;
  /** What was applied last, as text, with its report; undefined when the kernel may differ from it. */
  #applied: { readonly key: string; readonly report: FirewallReport } | undefined;
  /** What iptables says it is; undefined while there is none. */
  #iptablesVersion: string | undefined;
  #randomFullyRefused = false;
  /** How often `doubt` was called. */
  #doubts = 0;
  /** One change at a time: two restores in parallel see each other's rules half done. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: FirewallOptions) {
    this.#log = options.log;
    this.#run = options.run ?? runProgram;
    this.#iptables = new IptablesEngine(this.#run, { forwardOnlyIfBlocked: false });
    this.#companion = new IptablesEngine(this.#run, { forwardOnlyIfBlocked: true });
    this.#nftables = new NftablesEngine(this.#run);
  }

  /**
   * Makes the kernel's rules those of `desired`. Starts no program when this very state was applied before and
   * `doubt` was not called since. @throws FirewallError; the next call then tries again.
   */
  apply(desired: DesiredFirewall): Promise<FirewallReport> {
    return this.#exclusively(async () => {
      const key = JSON.stringify(desired);
      if (this.#applied?.key === key) return { ...this.#applied.report, repaired: [] };
      this.#applied = undefined;
      const doubts = this.#doubts;
      const engine = await this.#choose(desired);
      const changes: Change[] = [];
      for (const duty of this.#duties(engine, desired)) changes.push(...(await this.#settle(duty)));
      const announced = engine === 'nftables' || /nf_tables/.test(this.#iptablesVersion ?? '');
      const obstacles = await this.#obstacles(desired);
      const report = { engine, announced, repaired: differencesOf(changes), obstacles };
      // A doubt that came up meanwhile is about what was compared just now.
      if (doubts === this.#doubts) this.#applied = { key, report };
      return report;
    });
  }

  /** Something may have changed the kernel's rules: the next `apply` compares again. */
  doubt(): void {
    this.#doubts++;
    this.#applied = undefined;
  }

  /** What differs from `desired`, without changing it. */
  check(desired: DesiredFirewall): Promise<readonly string[]> {
    return this.#exclusively(async () => {
      const engine = await this.#choose(desired);
      const plans = this.#duties(engine, desired).map(duty => duty.engine.plan(duty.wanted));
      return differencesOf((await Promise.all(plans)).flat());
    });
  }

  /** Removes every rule that names one of these networks; returns what there was, one sentence each. */
  cleanup(options: {
    readonly networks: readonly Prefix[];
    readonly dryRun: boolean;
  }): Promise<readonly string[]> {
    return this.#exclusively(async () => {
      this.#applied = undefined;
      const all: Change[] = [];
      for (const engine of [this.#iptables, this.#nftables]) {
        const changes = await engine.plan(nothingOf(options.networks));
        if (!options.dryRun) await this.#execute(changes);
        all.push(...changes);
      }
      return differencesOf(all);
    });
  }

  /** The engine in use comes first, so that there is no moment without rules while changing over. */
  #duties(engine: EngineName, desired: DesiredFirewall): readonly Duty[] {
    const known = this.#randomFullyRefused ? { ...desired, randomFully: false } : desired;
    const wanted = { ipv4: rulesFor(known, 'ipv4'), ipv6: rulesFor(known, 'ipv6') };
    if (engine === 'iptables') {
      return [
        { engine: this.#iptables, wanted },
        { engine: this.#nftables, wanted: nothingOf(networksOf(desired)) },
      ];
    }
    return [
      { engine: this.#nftables, wanted },
      { engine: this.#companion, wanted: forwardOnly(wanted) },
    ];
  }

  async #settle(duty: Duty): Promise<readonly Change[]> {
    const { engine, wanted } = duty;
    const changes = await engine.plan(wanted);
    if (changes.length === 0) return changes;
    try {
      await this.#execute(changes);
    } catch (error) {
      if (!usesRandomFully(wanted) || !isCode(error, 'REFUSED')) throw error;
      // Old kernels and programs do not know it. If that was not the reason, the second try says what is.
      const settled = await this.#settle(withoutRandomFully(duty));
      this.#randomFullyRefused = true;
      this.#log.warn({ error: messageOf(error) }, 'masquerading without random source ports');
      return settled;
    }
    await engine.verify(wanted);
    return changes;
  }

  async #obstacles({ forward, blocks }: DesiredFirewall): Promise<readonly string[]> {
    return forward ? this.#nftables.obstacles(blocks.map(({ network }) => network)) : [];
  }

  async #execute(changes: readonly Change[]): Promise<void> {
    for (const { program, args, input = '', differences } of changes) {
      const result = await this.#run(program, args, { input, anyStatus: true });
      if (result.status === 0) continue;
      throw new FirewallError('REFUSED', `${program}: ${complaintOf(result)}`, {
        op: program,
        context: { differences },
      });
    }
  }

  async #choose(desired: DesiredFirewall): Promise<EngineName> {
    if (desired.nftables) return 'nftables';
    this.#iptablesVersion ??= await this.#versionOf('iptables');
    return this.#iptablesVersion === undefined ? 'nftables' : 'iptables';
  }

  async #versionOf(program: string): Promise<string | undefined> {
    try {
      const { status, stdout } = await this.#run(program, ['--version'], { anyStatus: true });
      return status === 0 ? stdout : undefined;
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

const differencesOf = (changes: readonly Change[]) => changes.flatMap(({ differences }) => differences);

/** No rule that names one of these networks. */
function nothingOf(networks: readonly Prefix[]): Wanted {
  const nothing = noRules(networks);
  return { ipv4: nothing, ipv6: nothing };
}

const forwardOnly = ({ ipv4, ipv6 }: Wanted): Wanted => ({
  ipv4: { ...ipv4, masquerade: [] },
  ipv6: { ...ipv6, masquerade: [] },
});

const withoutRandomFully = ({ engine, wanted: { ipv4, ipv6 } }: Duty): Duty => ({
  engine,
  wanted: { ipv4: { ...ipv4, randomFully: false }, ipv6: { ...ipv6, randomFully: false } },
});

const usesRandomFully = ({ ipv4, ipv6 }: Wanted) =>
  [ipv4, ipv6].some(({ randomFully, masquerade }) => randomFully && masquerade.length > 0);
