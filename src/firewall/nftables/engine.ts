/** The nftables engine: nft(8) with JSON in both directions, one transaction per address family. */
import { isCode } from '../../base/errors.ts';
import { FAMILIES, type Family } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { RunResult } from '../../sys/process.ts';
import {
  type FirewallChange,
  FirewallError,
  type Obstacle,
  type Plan,
  type RuleEngine,
  type RunProgram,
  refusalOf,
  type Wanted,
} from '../engine.ts';
import { runNft } from '../nft.ts';
import { isForeign, obstaclesInRuleset } from '../obstacles.ts';
import { senderTablesOf } from '../senders/table.ts';
import { type BaseChain, devicesInListing, readRuleset, withoutDormant } from './reader.ts';
import { inOneTable, type TableShares, tableShares } from './shares.ts';
import {
  NFT_FAMILY,
  NFT_TABLE,
  type NftTable,
  parseTable,
  parseTables,
  renderTable,
  replaceScript,
  SOURCE_PRIORITY,
} from './table.ts';

export class NftablesEngine implements RuleEngine {
  readonly #run: RunProgram;
  /**
   * What this nft lists after it was given a table (both as JSON). Versions of nft print some expressions
   * differently from how they accept them; without this memory such a rule would always seem wrong.
   */
  readonly #spelling = new Map<string, string>();

  constructor(run: RunProgram) {
    this.#run = run;
  }

  async plan(wanted: Wanted): Promise<Plan> {
    const tables = FAMILIES.map(family => renderTable(family, wanted[family]));
    const nothing = tables.every(table => table === undefined);
    const installed = await this.#optional(nothing, () => this.#tables());
    if (installed === undefined) return NOTHING_THERE;
    const changes = await Promise.all(
      FAMILIES.map((family, index) =>
        this.#planFamily(family, tables[index], wanted[family].networks, installed.includes(nameOf(family))),
      ),
    );
    return { ...NOTHING_THERE, changes: changes.flatMap(change => change ?? []) };
  }

  /**
   * What stops the overlay although another chain accepts it; empty where there is no nft.
   *
   * @param isInUse the wanted rules are in our tables.
   * @param hasIptables which looks after the tables that it has made.
   */
  async obstacles(
    wanted: Wanted,
    { isInUse, hasIptables }: { readonly isInUse: boolean; readonly hasIptables: boolean },
  ): Promise<readonly Obstacle[]> {
    const found = await this.#optional(true, () => this.#list(['chains'], readRuleset));
    const bases = (found?.bases ?? []).filter(chain => isForeign(chain, hasIptables));
    const devices = new Map<string, readonly string[]>();
    for (const base of bases) {
      if (base.family === 'netdev') devices.set(keyOf(base), await this.#devicesOf(base));
    }
    const tables = new Set(bases.map(({ family, table }) => `${family} ${table}`));
    const obstacles: Obstacle[] = [];
    for (const table of tables) {
      const read = await this.#optional(true, () => this.#list(['table', ...table.split(' ')], readRuleset));
      if (read === undefined) continue;
      const ruleset = await withoutDormant(read, async place => {
        const { stdout } = await this.#nft(['list', 'table', place.family, place.table]);
        return stdout;
      });
      for (const family of FAMILIES) {
        const { packets, source } = wanted[family];
        const sourcePriority = isInUse && source.length > 0 ? SOURCE_PRIORITY : undefined;
        const devicesOf = (chain: BaseChain) => devices.get(keyOf(chain)) ?? [];
        obstacles.push(...obstaclesInRuleset(ruleset, packets, devicesOf, sourcePriority));
      }
    }
    return obstacles;
  }

  /** Of a chain of family netdev. */
  async #devicesOf({ family, table, name }: BaseChain): Promise<readonly string[]> {
    const { stdout } = await this.#nft(['list', 'chain', family, table, name]);
    return devicesInListing(stdout);
  }

  /** What removes the filters of senders of these networks. @throws FirewallError */
  async senderTables(networks: readonly Prefix[]): Promise<FirewallChange[]> {
    const installed = (await this.#optional(true, () => this.#tables())) ?? [];
    return senderTablesOf(installed, networks).map(table => ({
      differences: [`table ${table} should not exist`],
      program: 'nft',
      args: ['delete', 'table', ...table.split(' ')],
    }));
  }

  async verify(wanted: Wanted): Promise<void> {
    for (const family of FAMILIES) {
      const table = renderTable(family, wanted[family]);
      if (table === undefined) continue;
      const { ours: listed } = tableShares(await this.#table(family), wanted[family].networks);
      if (listed.chains.length !== table.chains.length || listed.rules.length !== table.rules.length) {
        throw new FirewallError(
          'NOT_APPLIED',
          `nft: table ${nameOf(family)} differs from what was just written`,
          {
            op: 'nft',
            hint: 'another program may be changing the same rules',
          },
        );
      }
      this.#spelling.set(JSON.stringify(table), JSON.stringify(listed));
    }
  }

  async #planFamily(
    family: Family,
    wanted: NftTable | undefined,
    networks: readonly Prefix[],
    isPresent: boolean,
  ): Promise<FirewallChange | undefined> {
    const shares = isPresent ? tableShares(await this.#table(family), networks) : undefined;
    const difference = this.#difference(wanted, shares);
    if (difference === undefined) return undefined;
    return {
      differences: [`table ${nameOf(family)} ${difference}`],
      program: 'nft',
      args: ['-j', '-f', '-'],
      input: JSON.stringify(replaceScript(family, inOneTable(wanted, shares?.others))),
    };
  }

  #difference(wanted: NftTable | undefined, shares: TableShares | undefined): string | undefined {
    if (wanted === undefined) {
      const isClean = shares === undefined || (shares.others !== undefined && shares.ours.rules.length === 0);
      return isClean ? undefined : 'should not exist';
    }
    if (shares === undefined) return 'is missing';
    const listed = JSON.stringify(shares.ours);
    const written = JSON.stringify(wanted);
    if (listed === written || listed === this.#spelling.get(written)) return undefined;
    return 'differs from the desired rules';
  }

  /** undefined when there is no nft, none that may look, or more than can be read, and that is `optional`. */
  async #optional<T>(optional: boolean, look: () => Promise<T>): Promise<T | undefined> {
    try {
      return await look();
    } catch (error) {
      if (optional && isCode(error, 'NO_PROGRAM', 'REFUSED', 'OUTPUT_LIMIT')) return undefined;
      throw error;
    }
  }

  /** With their families. */
  async #tables(): Promise<string[]> {
    const result = await this.#nft(['list', 'tables']);
    if (result.status !== 0) throw refusalOf('nft list tables', result);
    return parseTables(result.stdout);
  }

  async #table(family: Family): Promise<NftTable> {
    return await this.#list(['table', NFT_FAMILY[family], NFT_TABLE[family]], parseTable);
  }

  async #list<T>(what: readonly string[], parse: (listing: string) => T): Promise<T> {
    const command = `nft -j list ${what.join(' ')}`;
    const result = await this.#nft(['-j', 'list', ...what]);
    // Of a table that is removed meanwhile (a trace has one for a moment) nft may print nothing, and call that success.
    if (result.status !== 0 || result.stdout.trim() === '') {
      throw refusalOf(command, result);
    }
    try {
      return parse(result.stdout);
    } catch (cause) {
      throw new FirewallError('PROTOCOL', `${command} printed unexpected output`, { op: 'nft', cause });
    }
  }

  async #nft(args: readonly string[]): Promise<RunResult> {
    const hint = 'install nftables, or leave EnableNFTables unset and install iptables';
    return await runNft(this.#run, args, { hint });
  }
}

const NOTHING_THERE: Plan = { changes: [], obstacles: [], isInputGuarded: false, isInUse: false };

const keyOf = ({ family, table, name }: BaseChain) => `${family} ${table} ${name}`;

const nameOf = (family: Family) => `${NFT_FAMILY[family]} ${NFT_TABLE[family]}`;
