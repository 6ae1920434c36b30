/**
 * The rules of a host as text, to say which one a packet met: `nft -a -s -y list ruleset`, and what iptables-save calls
 * the same rules where iptables made them.
 *
 *     table ip nat { # handle 1
 *     	chain PREROUTING { # handle 2
 *     		type nat hook prerouting priority -100; policy accept;
 *     		fib daddr type local counter jump DOCKER # handle 3
 *     	}
 *     }
 */
import { isCode } from '../../base/errors.ts';
import { parseSave, type SavedTables } from '../../firewall/iptables/saved.ts';
import type { RunResult } from '../../sys/process.ts';
import { TraceError } from './errors.ts';

/** Runs a program where the rules are. */
export type RunOnHost = (program: string, args: readonly string[]) => Promise<RunResult>;

export interface ListedRule {
  readonly handle: bigint;
  /** As `nft` writes it, without counters. */
  readonly text: string;
  /** As iptables-save writes it, without `-A CHAIN`; absent for a rule that is not of iptables. */
  readonly iptables?: string;
}

/** Of a chain that the kernel itself calls. */
export interface BaseOfChain {
  readonly type: string;
  readonly hook: string;
  readonly priority: number;
  readonly policy: string;
  /** Names of the links of a chain that is called for some alone. */
  readonly devices?: readonly string[];
}

export interface ListedChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly base?: BaseOfChain;
  readonly rules: readonly ListedRule[];
}

/** What a trace needs to know of the rules. */
export class Ruleset {
  readonly chains: readonly ListedChain[];
  readonly #byName: ReadonlyMap<string, ListedChain>;

  constructor(chains: readonly ListedChain[]) {
    this.chains = chains;
    this.#byName = new Map(chains.map(chain => [keyOf(chain.family, chain.table, chain.name), chain]));
  }

  chain(family: string, table: string, name: string): ListedChain | undefined {
    return this.#byName.get(keyOf(family, table, name));
  }
}

const keyOf = (...words: readonly string[]) => words.join(' ');

/** @throws TraceError NO_PROGRAM, REFUSED */
export async function readRulesOf(run: RunOnHost): Promise<Ruleset> {
  const listing = await optional(run, 'nft', ['-a', '-s', '-y', 'list', 'ruleset']);
  if (listing === undefined) {
    throw new TraceError('NO_PROGRAM', 'nft is not installed, so no rule can be named', {
      hint: 'on Debian: apt-get install nftables',
    });
  }
  if (listing.status !== 0)
    throw new TraceError('REFUSED', `nft list ruleset: ${listing.stderr.trim() || listing.status}`);
  const chains = parseRuleset(listing.stdout);
  const families = (['ip', 'ip6'] as const).filter(family =>
    chains.some(chain => isOfIptables(chain, family)),
  );
  const saved = new Map(
    await Promise.all(families.map(async family => [family, await readSaved(run, family)] as const)),
  );
  return new Ruleset(
    chains.map(chain =>
      withIptables(
        chain,
        saved
          .get(chain.family as 'ip')
          ?.get(chain.table)
          ?.get(chain.name),
      ),
    ),
  );
}

/** The text of `nft -a -s -y list ruleset`. Sets, maps and objects are left away. */
export function parseRuleset(listing: string): ListedChain[] {
  const chains: (ListedChain & { base?: BaseOfChain; rules: ListedRule[] })[] = [];
  let [family, table] = ['', ''];
  let chain: (typeof chains)[number] | undefined;
  let begun = '';
  for (const line of listing.split('\n')) {
    const head = /^table (\S+) (\S+) \{/.exec(line) ?? /^\tchain (\S+) \{/.exec(line);
    if (head !== null && line.startsWith('table')) [, family = '', table = ''] = head;
    else if (head !== null) chains.push((chain = { family, table, name: head[1] ?? '', rules: [] }));
    else if (!line.startsWith('\t\t')) chain = undefined;
    if (chain === undefined || head !== null) continue;
    // A rule with a long set goes over several lines; only its last one has the handle.
    begun = begun === '' ? line.trim() : `${begun} ${line.trim()}`;
    const base = /^type (\S+) hook (\S+) .*priority (-?\d+); policy (\S+);$/.exec(begun);
    const rule = /^(.*) # handle (\d+)$/.exec(begun);
    if (base !== null) {
      const [, type = '', hook = '', priority = '', policy = ''] = base;
      const [, list = ''] = / (?:device|devices =) (.*?) priority /.exec(begun) ?? [];
      const devices = Array.from(list.matchAll(/[^\s"{},]+/g), ([name]) => name);
      chain.base = {
        type,
        hook,
        priority: Number(priority),
        policy,
        ...(devices.length > 0 && { devices }),
      };
    } else if (rule !== null) {
      chain.rules.push({ handle: BigInt(rule[2] ?? 0), text: rule[1] ?? '' });
    } else {
      continue;
    }
    begun = '';
  }
  return chains;
}

/** Names of tables and built-in chains that iptables makes, iptables(8). */
const IPTABLES_TABLES = ['raw', 'mangle', 'nat', 'filter', 'security'];
const BUILT_IN = /^(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/;

const isOfIptables = ({ family, table, name, base }: ListedChain, wanted: string) =>
  family === wanted && IPTABLES_TABLES.includes(table) && base !== undefined && BUILT_IN.test(name);

/** By iptables over nftables; empty where there is none that can read them. */
async function readSaved(run: RunOnHost, family: 'ip' | 'ip6'): Promise<SavedTables> {
  const name = family === 'ip' ? 'iptables' : 'ip6tables';
  const saved = (await optional(run, `${name}-nft-save`, [])) ?? (await optional(run, `${name}-save`, []));
  return saved?.status === 0 ? parseSave(saved.stdout) : new Map();
}

/** Each rule of iptables is one of nftables, in the same order; where the counts differ, some are not of iptables. */
function withIptables(
  chain: ListedChain,
  saved: { readonly rules: readonly string[] } | undefined,
): ListedChain {
  if (saved?.rules.length !== chain.rules.length) return chain;
  return {
    ...chain,
    rules: chain.rules.map((rule, index) => ({ ...rule, iptables: saved.rules[index] ?? rule.text })),
  };
}

/** undefined when the program is not installed: itself, or by what nsenter(1) says of it. */
async function optional(
  run: RunOnHost,
  program: string,
  args: readonly string[],
): Promise<RunResult | undefined> {
  try {
    const result = await run(program, args);
    return result.status === NOT_FOUND ? undefined : result;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Status of nsenter(1) when there is no such program, as a shell has it. */
const NOT_FOUND = 127;
