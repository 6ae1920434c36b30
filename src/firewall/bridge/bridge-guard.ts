/**
 * Guards the L2 networks of this host with a table of nftables of its own (guard-table.ts). It is stated as a whole,
 * compared with what nft lists, and the difference is written, so that counters go on and traffic sees no gap. Which stations
 * are known, which changes all the time, is written over netlink.
 */
import { isCode } from '../../base/errors.ts';
import type { Mac } from '../../base/mac.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import { addElements, deleteElements } from '../../netlink/netfilter/set.ts';
import type { Change } from '../../netlink/protocol.ts';
import { run as runProgram } from '../../sys/process.ts';
import { FirewallError, type RunProgram, refusalOf } from '../engine.ts';
import { runNft } from '../nft.ts';
import { guardScript, type ListedTable, readGuardTable } from './guard-script.ts';
import {
  GUARD_DROP_REASONS,
  GUARD_TABLE,
  type GuardDropReason,
  guardRuleset,
  knownSetOf,
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
  readonly #netfilter: Pick<Netfilter, 'commit'> | undefined;
  /** What the kernel has, as far as we know; undefined while it is being compared, or could not be. */
  #written: readonly SegmentGuard[] | undefined;

  /** @param netfilter for what stations come and go; absent where nothing is kept */
  constructor(netfilter?: Pick<Netfilter, 'commit'>, run: RunProgram = runProgram) {
    this.#netfilter = netfilter;
    this.#run = run;
  }

  /**
   * Stations come and go with each container: where nothing else is wanted anew, the kernel is told of them at once, without
   * a program and a comparison.
   * @returns whether that was all: otherwise `apply` is needed. @throws NetlinkError, SysError
   */
  writeKnown(guards: readonly SegmentGuard[]): boolean {
    const before = this.#written;
    if (
      this.#netfilter === undefined ||
      before === undefined ||
      besidesKnown(before) !== besidesKnown(guards)
    )
      return false;
    this.#written = undefined;
    const former = new Map(before.map(({ name, known }) => [name, known]));
    try {
      for (const { name, known } of guards)
        for (const change of knownChanges(name, former.get(name) ?? [], known))
          this.#netfilter.commit([change]);
    } catch (error) {
      // Another program has changed it: the comparison says what is missing.
      if (isCode(error, 'ENOENT', 'EEXIST')) return false;
      throw error;
    }
    this.#written = guards;
    return true;
  }

  /** @returns whether anything was written. @throws FirewallError */
  async apply(guards: readonly SegmentGuard[]): Promise<boolean> {
    this.#written = undefined;
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
    this.#written = guards;
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

const besidesKnown = (guards: readonly SegmentGuard[]) =>
  JSON.stringify(guards.map(guard => ({ ...guard, known: [] })));

function knownChanges(network: string, before: readonly Mac[], now: readonly Mac[]): readonly Change[] {
  const name = { family: 'bridge', table: GUARD_TABLE, set: knownSetOf(network) } as const;
  const missingIn = (there: readonly Mac[], all: readonly Mac[]) => {
    const texts = new Set(there.map(String));
    return all.filter(mac => !texts.has(`${mac}`)).map(({ bytes }) => bytes);
  };
  return [...addElements(name, missingIn(before, now)), ...deleteElements(name, missingIn(now, before))];
}
