/**
 * Keeps the firewall of this host as it is wanted. Level-triggered like the data plane: what is wanted is
 * stated as a whole, compared with the kernel, and the difference is made good, one transaction per table.
 * Others flush and reorder rules (firewalld, docker, people), so the kernel's announcements of rule changes
 * lead to the same comparison again.
 *
 * Both engines are always brought to what is wanted of them, which for the one not in use is nothing: so a
 * change of engine leaves no rule of the other behind.
 *
 * An accept in a table of ours does not overrule a drop elsewhere, and iptables has two variants, nft and legacy,
 * whose rules a kernel can have at the same time. So beside the engine in use the others add what is needed to get past
 * rules in their tables: where FORWARD drops (dockerd sets its policy so), flannel's accepting chain.
 */
import { isCode, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Prefix } from '../base/prefix.ts';
import { run as runProgram } from '../sys/process.ts';
import type { DesiredFirewall } from './desired.ts';
import {
  type EngineName,
  type FirewallChange,
  type Obstacle,
  type Plan,
  type RuleEngine,
  type RunProgram,
  refusalOf,
  type Wanted,
} from './engine.ts';
import { IptablesEngine } from './iptables.ts';
import { NftablesEngine } from './nftables.ts';
import { networksIn, noRules, rulesFor } from './rules.ts';

export interface FirewallOptions {
  readonly log: Logger;
  readonly run?: RunProgram;
  /** Whether the legacy iptables has tables, where that can be told without it: then it is left alone otherwise. */
  readonly hasLegacyTables?: () => boolean;
}

export interface FirewallReport {
  readonly engine: EngineName;
  /** Whether the kernel tells of changes to rules of this kind; it does not for the legacy iptables. */
  readonly announced: boolean;
  /** What was not as wanted and is now; one sentence each, empty when nothing was written. */
  readonly repaired: readonly string[];
  readonly obstacles: readonly Obstacle[];
  /** Tunnel packets are accepted peer by peer: other peers want other rules. */
  readonly dependsOnPeers: boolean;
}

/** One engine and what is wanted of it. */
interface EngineTarget {
  readonly engine: RuleEngine;
  readonly wanted: Wanted;
  /** Whether the kernel tells of changes to its rules. */
  readonly isAnnounced: boolean;
}

/** One of the two iptables: as the engine in use, and beside another one. */
interface Variant extends Pick<EngineTarget, 'engine' | 'isAnnounced'> {
  readonly companion: RuleEngine;
}

export class Firewall {
  readonly #log: Logger;
  readonly #run: RunProgram;
  readonly #hasLegacyTables: () => boolean;
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
    this.#hasLegacyTables = options.hasLegacyTables ?? (() => true);
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
      const duties = await this.#duties(engine, desired);
      // Reading takes almost all of the time, and what is read is apart.
      const [foreign, ...plans] = await Promise.all([
        this.#nftables.obstacles(duties[0].wanted, {
          isInUse: engine === 'nftables',
          hasIptables: this.#iptablesVersion !== undefined,
        }),
        ...duties.map(duty => duty.engine.plan(duty.wanted)),
      ]);
      for (const [index, duty] of duties.entries()) await this.#settle(duty, plans[index]?.changes ?? []);
      const report: FirewallReport = {
        engine,
        announced: duties.every(
          ({ isAnnounced }, index) => isAnnounced || (index > 0 && !plans[index]?.isInUse),
        ),
        repaired: differencesOf(plans),
        obstacles: once([...plans.flatMap(({ obstacles }) => obstacles), ...foreign]),
        dependsOnPeers:
          desired.tunnel?.isOpened === true && plans.some(({ isInputGuarded }) => isInputGuarded),
      };
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
      const duties = await this.#duties(engine, desired);
      return differencesOf(await Promise.all(duties.map(duty => duty.engine.plan(duty.wanted))));
    });
  }

  /** Removes every rule that names one of these networks; returns what there was, one sentence each. */
  cleanup(options: {
    readonly networks: readonly Prefix[];
    readonly dryRun: boolean;
  }): Promise<readonly string[]> {
    return this.#exclusively(async () => {
      this.#applied = undefined;
      const plans: Plan[] = [];
      for (const engine of [...(await this.#variants()).map(({ engine: each }) => each), this.#nftables]) {
        const plan = await engine.plan(nothingOf(options.networks));
        if (!options.dryRun) await this.#execute(plan.changes);
        plans.push(plan);
      }
      return differencesOf(plans);
    });
  }

  /** The engine in use comes first, so that there is no moment without rules while changing over. */
  async #duties(
    name: EngineName,
    desired: DesiredFirewall,
  ): Promise<readonly [EngineTarget, ...EngineTarget[]]> {
    const known = this.#randomFullyRefused ? { ...desired, randomFully: false } : desired;
    const wanted = { ipv4: rulesFor(known, 'ipv4'), ipv6: rulesFor(known, 'ipv6') };
    const nftables = { engine: this.#nftables, isAnnounced: true };
    const [iptables, other] = await this.#variants();
    const companion = (variant: Variant | undefined) =>
      variant === undefined ? [] : [{ ...variant, engine: variant.companion, wanted }];
    if (name === 'iptables' && iptables !== undefined) {
      return [
        { ...iptables, wanted },
        ...companion(other),
        { ...nftables, wanted: nothingOf(networksIn(desired)) },
      ];
    }
    return [{ ...nftables, wanted }, ...companion(iptables), ...companion(other)];
  }

  /** What is called `iptables` here, if there is one, and the variant that has another name, if it is of use. */
  async #variants(): Promise<readonly Variant[]> {
    this.#iptablesVersion ??= await this.#versionOf('iptables');
    if (this.#iptablesVersion === undefined) return [];
    const isNft = /nf_tables/.test(this.#iptablesVersion);
    if (isNft && !this.#hasLegacyTables()) return [this.#variant(true)];
    return [this.#variant(isNft), this.#variant(!isNft, isNft ? 'legacy' : 'nft')];
  }

  #variant(isAnnounced: boolean, variant?: 'legacy' | 'nft'): Variant {
    return {
      isAnnounced,
      engine: new IptablesEngine(this.#run, {
        onlyNeeded: variant !== undefined,
        ...(variant && { variant }),
      }),
      companion: new IptablesEngine(this.#run, { onlyNeeded: true, ...(variant && { variant }) }),
    };
  }

  async #settle(duty: EngineTarget, changes: readonly FirewallChange[]): Promise<void> {
    const { engine, wanted } = duty;
    if (changes.length === 0) return;
    try {
      await this.#execute(changes);
    } catch (error) {
      // Other refusals are no reason to do without it for ever: a lock that somebody holds, for one.
      if (!usesRandomFully(wanted) || !/random/.test(messageOf(error))) throw error;
      this.#randomFullyRefused = true;
      this.#log.warn({ error: messageOf(error) }, 'masquerading without random source ports');
      const plain = withoutRandomFully(duty);
      return await this.#settle(plain, (await engine.plan(plain.wanted)).changes);
    }
    await engine.verify(wanted);
  }

  async #execute(changes: readonly FirewallChange[]): Promise<void> {
    for (const { program, args, input = '', differences } of changes) {
      const result = await this.#run(program, args, { input, anyStatus: true });
      if (result.status === 0) continue;
      throw refusalOf(program, result, differences);
    }
  }

  async #choose(desired: DesiredFirewall): Promise<EngineName> {
    if (desired.nftables) return 'nftables';
    return (await this.#variants()).length === 0 ? 'nftables' : 'iptables';
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

const differencesOf = (plans: readonly Plan[]) =>
  plans.flatMap(({ changes }) => changes.flatMap(({ differences }) => differences));

/** What stands in the way of both families is one obstacle; of several by one program, the first is told. */
const once = (obstacles: readonly Obstacle[]): Obstacle[] =>
  Array.from(Map.groupBy(obstacles, ({ id }) => id).values()).flatMap(([first]) => first ?? []);

/** No rule that names one of these networks. */
function nothingOf(networks: readonly Prefix[]): Wanted {
  const nothing = noRules(networks);
  return { ipv4: nothing, ipv6: nothing };
}

const withoutRandomFully = ({ wanted: { ipv4, ipv6 }, ...duty }: EngineTarget): EngineTarget => ({
  ...duty,
  wanted: { ipv4: { ...ipv4, randomFully: false }, ipv6: { ...ipv6, randomFully: false } },
});

const usesRandomFully = ({ ipv4, ipv6 }: Wanted) =>
  [ipv4, ipv6].some(({ randomFully, masquerade }) => randomFully && masquerade.length > 0);
