/**
 * Guards the L2 networks of this host with a table of nftables of its own (guard-table.ts). It is stated as a whole,
 * compared with what nft lists, and the difference is written, so that counters go on and traffic sees no gap.
 */
import { run as runProgram } from '../../sys/process.ts';
import { FirewallError, type RunProgram, refusalOf } from '../engine.ts';
import { runNft } from '../nft.ts';
import { guardScript, type ListedTable, readGuardTable } from './guard-script.ts';
import {
  GUARD_DROP_REASONS,
  GUARD_TABLE,
  type GuardDropReason,
  guardRuleset,
  type SegmentGuard,
} from './guard-table.ts';

/** Frames that went no further, since the network was first guarded. */
export type GuardDrops = Readonly<Record<GuardDropReason, number>>;

export class BridgeGuard {
  readonly #run: RunProgram;
  /**
   * What this nft lists for the rules that were written, both as text. Versions of nft print some expressions
   * differently from how they accept them.
   */
  #spelling: { readonly written: string; readonly listed: string } | undefined;

  constructor(run: RunProgram = runProgram) {
    this.#run = run;
  }

  /** @returns whether anything was written. @throws FirewallError */
  async apply(guards: readonly SegmentGuard[]): Promise<boolean> {
    const wanted = guardRuleset(guards);
    const written = JSON.stringify(wanted.chains);
    const listed = await this.#list();
    const sameRules = this.#spelling?.written === written && this.#spelling.listed === listed?.rules;
    const script = guardScript(listed, wanted, sameRules);
    if (script !== undefined) {
      const result = await runNft(this.#run, ['-j', '-f', '-'], { input: JSON.stringify(script) });
      if (result.status !== 0) throw refusalOf('nft', result);
    }
    if (!sameRules && wanted.chains.length > 0) {
      this.#spelling = { written, listed: (await this.#list())?.rules ?? '' };
    }
    return script !== undefined;
  }

  /** By name of the network. @throws FirewallError */
  async drops(): Promise<ReadonlyMap<string, GuardDrops>> {
    const { counts = new Map<string, number>() } = (await this.#list()) ?? {};
    const suffix = `-${GUARD_DROP_REASONS[0]}`;
    const names = [...counts.keys()].flatMap(name =>
      name.endsWith(suffix) ? [name.slice(0, -suffix.length)] : [],
    );
    return new Map(
      names.map(name => [
        name,
        Object.fromEntries(
          GUARD_DROP_REASONS.map(reason => [reason, counts.get(`${name}-${reason}`) ?? 0]),
        ) as GuardDrops,
      ]),
    );
  }

  /** undefined when there is no such table. */
  async #list(): Promise<ListedTable | undefined> {
    const result = await runNft(this.#run, ['-j', 'list', 'table', 'bridge', GUARD_TABLE]);
    if (result.status !== 0) {
      if (/No such file or directory/.test(result.stderr)) return undefined;
      throw refusalOf('nft', result);
    }
    try {
      return readGuardTable(result.stdout);
    } catch (cause) {
      throw new FirewallError('PROTOCOL', 'nft: the listing is not what this version of Tulle understands', {
        op: 'nft',
        cause,
      });
    }
  }
}
