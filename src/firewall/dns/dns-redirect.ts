/** Keeps the redirection of DNS (redirect-table.ts) as it was stated: written when it is another, or somebody has changed it. */
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import { addElements, flushSet } from '../../netlink/netfilter/set.ts';
import { run as runProgram } from '../../sys/process.ts';
import { type RunProgram, refusalOf } from '../engine.ts';
import { runNft } from '../nft.ts';
import {
  type DnsRedirect,
  REDIRECT_ALIVE,
  REDIRECT_PROTOCOLS,
  REDIRECT_TABLE,
  redirectScript,
  redirectText,
} from './redirect-table.ts';

export class DnsRedirection {
  readonly #run: RunProgram;
  readonly #netfilter: Pick<Netfilter, 'commit'> | undefined;
  /** What nft lists for what was written last. */
  #written: { readonly text: string; readonly listed: string } | undefined;

  /** @param netfilter what renews; absent where nothing is kept */
  constructor(netfilter?: Pick<Netfilter, 'commit'>, run: RunProgram = runProgram) {
    this.#netfilter = netfilter;
    this.#run = run;
  }

  /** The redirection goes on for two minutes more. @throws NetlinkError ENOENT when it is not there, SysError */
  renew(): void {
    if (this.#written === undefined) return;
    const alive = { table: REDIRECT_TABLE, set: REDIRECT_ALIVE };
    this.#netfilter?.commit([flushSet(alive), ...addElements(alive, REDIRECT_PROTOCOLS)]);
  }

  /** @param wanted undefined for no table. @returns whether anything was written. @throws FirewallError */
  async apply(wanted: DnsRedirect | undefined): Promise<boolean> {
    const listed = await this.#list();
    if (wanted === undefined) {
      this.#written = undefined;
      if (listed === undefined) return false;
      await this.#write(`delete table inet ${REDIRECT_TABLE}\n`);
      return true;
    }
    const text = redirectText(wanted);
    if (this.#written?.text === text && this.#written.listed === listed) return false;
    await this.#write(redirectScript(wanted));
    this.#written = { text, listed: (await this.#list()) ?? '' };
    return true;
  }

  /** Whether there is such a table, of this run or of one before. @throws FirewallError */
  async isThere(): Promise<boolean> {
    return (await this.#list()) !== undefined;
  }

  async #write(input: string): Promise<void> {
    const result = await runNft(this.#run, ['-f', '-'], { input });
    if (result.status !== 0) throw refusalOf('nft', result);
  }

  /** Without what traffic changes; undefined when there is no such table. */
  async #list(): Promise<string | undefined> {
    const result = await runNft(this.#run, ['-s', 'list', 'table', 'inet', REDIRECT_TABLE]);
    if (result.status === 0) return lastingIn(result.stdout);
    if (/No such file or directory/.test(result.stderr)) return undefined;
    throw refusalOf('nft', result);
  }
}

/** Without the sets that traffic and time change, over lines that end with the brace of their elements. */
function lastingIn(listing: string): string {
  return listing.replaceAll(/(set (?:askers-\w+|alive) \{)[^}]*?(elements = \{[^}]*\})?\s*\}/g, '$1}');
}
