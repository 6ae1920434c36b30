/**
 * The firewall rules of this host: DesiredFirewall in, rules in the kernel out. Level-triggered like the data plane:
 * the desired state is stated as a whole, compared with the kernel, and the difference is written, one transaction per
 * table. What triggers a comparison, and when, is the FirewallReconciler's business.
 *
 * Both engines are always brought to the rules that they should have, which for the one not in use are none: so a
 * change of engine leaves no rule of the other behind.
 *
 * An accept in a table of ours does not overrule a drop elsewhere, and iptables has two variants, nft and legacy,
 * whose rules a kernel can have at the same time. So beside the engine in use the others add the rules without which
 * their tables would stop the overlay: where FORWARD drops (dockerd sets its policy so), flannel's accepting chain.
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
import { IptablesEngine } from './iptables/engine.ts';
import { NftablesEngine } from './nftables/engine.ts';
import { networksIn, noRules, rulesFor } from './rules.ts';

export interface FirewallOptions {
  readonly log: Logger;
  readonly run?: RunProgram;
  /** Whether the legacy iptables has tables, as far as the kernel says: without any its programs are not run. */
  readonly hasLegacyTables?: () => boolean;
}

export interface FirewallReport {
  readonly engine: EngineName;
  /** Whether the kernel announces changes to rules of this kind; it does not for the legacy iptables. */
  readonly announced: boolean;
  /** What differed and was written; one sentence each. */
  readonly repaired: readonly string[];
  readonly obstacles: readonly Obstacle[];
  /** Tunnel packets are accepted peer by peer: other peers want other rules. */
  readonly dependsOnPeers: boolean;
}

/** One engine and the rules that it should have. */
interface EngineTarget {
  readonly engine: RuleEngine;
  readonly wanted: Wanted;
  /** Whether the kernel announces changes to its rules. */
  readonly isAnnounced: boolean;
}

/** One of the two programs that are iptables; a kernel can have the rules of both. */
interface IptablesVariant {
  /** Absent for the one that is called `iptables` on this host. */
  readonly name?: 'legacy' | 'nft';
  readonly isAnnounced: boolean;
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
  /** How often `markStale` was called. */
  #staleMarks = 0;
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
   * `markStale` was not called since. @throws FirewallError; the next call then tries again.
   */
  apply(desired: DesiredFirewall): Promise<FirewallReport> {
    return this.#exclusively(async () => {
      const key = JSON.stringify(desired);
      if (this.#applied?.key === key) return { ...this.#applied.report, repaired: [] };
      this.#applied = undefined;
      const staleMarks = this.#staleMarks;
      const engine = await this.#choose(desired);
      const targets = await this.#targets(engine, desired);
      // Reading takes almost all of the time, and no reader depends on another.
      const [foreign, ...plans] = await Promise.all([
        this.#nftables.obstacles(targets[0].wanted, {
          isInUse: engine === 'nftables',
          hasIptables: this.#iptablesVersion !== undefined,
        }),
        ...targets.map(target => target.engine.plan(target.wanted)),
      ]);
      for (const [index, target] of targets.entries())
        await this.#settle(target, plans[index]?.changes ?? []);
      const report: FirewallReport = {
        engine,
        announced: targets.every(
          ({ isAnnounced }, index) => isAnnounced || (index > 0 && !plans[index]?.isInUse),
        ),
        repaired: differencesOf(plans),
        obstacles: once([...plans.flatMap(({ obstacles }) => obstacles), ...foreign]),
        dependsOnPeers:
          desired.tunnel?.isOpened === true && plans.some(({ isInputGuarded }) => isInputGuarded),
      };
      // A change during the comparison may have been missed by it.
      if (staleMarks === this.#staleMarks) this.#applied = { key, report };
      return report;
    });
  }

  /** Something may have changed the kernel's rules: the next `apply` compares again. */
  markStale(): void {
    this.#staleMarks++;
    this.#applied = undefined;
  }

  /** What differs from `desired`, without changing it. */
  check(desired: DesiredFirewall): Promise<readonly string[]> {
    return this.#exclusively(async () => {
      const engine = await this.#choose(desired);
      const targets = await this.#targets(engine, desired);
      return differencesOf(await Promise.all(targets.map(target => target.engine.plan(target.wanted))));
    });
  }

  /** Removes every rule and table that names one of these networks; returns what there was, one sentence each. */
  cleanup(options: {
    readonly networks: readonly Prefix[];
    readonly dryRun: boolean;
  }): Promise<readonly string[]> {
    return this.#exclusively(async () => {
      this.#applied = undefined;
      const plans: Plan[] = [];
      const iptables = (await this.#variants()).map(variant => this.#iptables(variant, { onlyNeeded: true }));
      for (const engine of [...iptables, this.#nftables]) {
        const plan = await engine.plan(nothingOf(options.networks));
        if (!options.dryRun) await this.#execute(plan.changes);
        plans.push(plan);
      }
      const tables = await this.#nftables.senderTables(options.networks);
      if (!options.dryRun) await this.#execute(tables);
      return [...differencesOf(plans), ...tables.flatMap(({ differences }) => differences)];
    });
  }

  /** The engine in use comes first, so that there is no moment without rules while changing over. */
  async #targets(
    name: EngineName,
    desired: DesiredFirewall,
  ): Promise<readonly [EngineTarget, ...EngineTarget[]]> {
    const known = this.#randomFullyRefused ? { ...desired, randomFully: false } : desired;
    const wanted = { ipv4: rulesFor(known, 'ipv4'), ipv6: rulesFor(known, 'ipv6') };
    const variants = await this.#variants();
    const inUse = name === 'iptables' ? variants[0] : undefined;
    const targetOf = (variant: IptablesVariant, onlyNeeded: boolean): EngineTarget => ({
      engine: this.#iptables(variant, { onlyNeeded }),
      wanted,
      isAnnounced: variant.isAnnounced,
    });
    const others = variants.filter(variant => variant !== inUse).map(variant => targetOf(variant, true));
    const nftables = { engine: this.#nftables, isAnnounced: true };
    return inUse === undefined
      ? [{ ...nftables, wanted }, ...others]
      : [targetOf(inUse, false), ...others, { ...nftables, wanted: nothingOf(networksIn(desired)) }];
  }

  /** What is called `iptables` here, if there is one, and the variant that has another name, if it is of use. */
  async #variants(): Promise<readonly IptablesVariant[]> {
    this.#iptablesVersion ??= await this.#versionOf('iptables');
    if (this.#iptablesVersion === undefined) return [];
    const isNft = /nf_tables/.test(this.#iptablesVersion);
    const plain = { isAnnounced: isNft };
    if (isNft && !this.#hasLegacyTables()) return [plain];
    return [plain, { name: isNft ? 'legacy' : 'nft', isAnnounced: !isNft }];
  }

  #iptables({ name }: IptablesVariant, options: { readonly onlyNeeded: boolean }): RuleEngine {
    return new IptablesEngine(this.#run, { ...options, ...(name && { variant: name }) });
  }

  async #settle(target: EngineTarget, changes: readonly FirewallChange[]): Promise<void> {
    const { engine, wanted } = target;
    if (changes.length === 0) return;
    try {
      await this.#execute(changes);
    } catch (error) {
      // Only a refusal of this very option is a reason to do without it: a held lock, for one, is not.
      if (!usesRandomFully(wanted) || !/random/.test(messageOf(error))) throw error;
      this.#randomFullyRefused = true;
      this.#log.warn({ error: messageOf(error) }, 'masquerading without random source ports');
      const plain = withoutRandomFully(target);
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

/** An obstacle to both families is one; of several by one program, the first is reported. */
const once = (obstacles: readonly Obstacle[]): Obstacle[] =>
  Array.from(Map.groupBy(obstacles, ({ id }) => id).values()).flatMap(([first]) => first ?? []);

/** No rule that names one of these networks. */
function nothingOf(networks: readonly Prefix[]): Wanted {
  const nothing = noRules(networks);
  return { ipv4: nothing, ipv6: nothing };
}

const withoutRandomFully = ({ wanted: { ipv4, ipv6 }, ...target }: EngineTarget): EngineTarget => ({
  ...target,
  wanted: { ipv4: { ...ipv4, randomFully: false }, ipv6: { ...ipv6, randomFully: false } },
});

const usesRandomFully = ({ ipv4, ipv6 }: Wanted) =>
  [ipv4, ipv6].some(({ randomFully, masquerade }) => randomFully && masquerade.length > 0);
