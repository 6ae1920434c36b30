/** What iptables-save prints, read. */

/** One chain as iptables-save shows it. */
export interface SavedChain {
  /** `ACCEPT` or `DROP` for a built-in chain, `-` for others. */
  readonly policy: string;
  /** Without the `-A CHAIN ` in front. */
  readonly rules: readonly string[];
}

/** Of a table, chain name -> chain. */
export type SavedTable = ReadonlyMap<string, SavedChain>;

/** NftTable name -> chain name -> chain. */
export type SavedTables = ReadonlyMap<string, SavedTable>;

/** Reads the output of iptables-save. Lines of no interest (comments, counters) are skipped. */
export function parseSave(text: string): SavedTables {
  const tables = new Map<string, Map<string, { policy: string; rules: string[] }>>();
  let chains = new Map<string, { policy: string; rules: string[] }>();
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      chains = new Map();
      tables.set(line.slice(1).trim(), chains);
      continue;
    }
    const chain = /^:(\S+) (\S+)/.exec(line);
    if (chain?.[1] !== undefined) chains.set(chain[1], { policy: chain[2] ?? '-', rules: [] });
    const rule = /^-A (\S+) (.*)$/.exec(line);
    if (rule?.[1] !== undefined) chains.get(rule[1])?.rules.push((rule[2] ?? '').trim());
  }
  return tables;
}
