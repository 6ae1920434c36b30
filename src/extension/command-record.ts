/**
 * What commands have made on this host, so that it can be undone whatever happens: by the next run of the agent for peers
 * that have gone meanwhile, and by `tulle cleanup`.
 *
 *     <state-dir>/commands-<tag>.json   {"version":1,"shutdown":{...},"entries":[{"subnet":"10.5.3.0/24","remove":{...}}]}
 *
 * Only root may write there: what is in it has been run before, or was about to be.
 */
import { readFile, rm } from 'node:fs/promises';
import * as v from 'valibot';
import { isCode } from '../base/errors.ts';
import { Prefix } from '../base/prefix.ts';
import type { HostCommand, HostCommandEntry } from '../dataplane/tables/commands.ts';
import { removeUnfinished, writeFileAtomic } from '../sys/file.ts';

const StoredCommand = v.object({
  name: v.string(),
  words: v.array(v.string()),
  variables: v.record(v.string(), v.string()),
  input: v.string(),
  timeout: v.number(),
});

const RecordFile = v.object({
  version: v.literal(1),
  shutdown: v.optional(StoredCommand),
  entries: v.array(
    v.object({
      subnet: v.string(),
      add: v.optional(StoredCommand),
      remove: v.optional(StoredCommand),
    }),
  ),
});

export interface CommandRecord {
  readonly shutdown?: HostCommand;
  readonly entries: readonly HostCommandEntry[];
}

/** What there is; nothing when there is no file. @throws Error when it cannot be read, or is damaged */
export async function readCommandRecord(path: string): Promise<CommandRecord> {
  await removeUnfinished(path);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return { entries: [] };
    throw error;
  }
  const { shutdown, entries } = v.parse(RecordFile, JSON.parse(text));
  return {
    ...(shutdown && { shutdown }),
    entries: entries.map(({ subnet, add, remove }) => ({
      subnet: Prefix.parse(subnet),
      ...(add && { add }),
      ...(remove && { remove }),
    })),
  };
}

/** An empty one is no file. @throws Error when it cannot be written */
export async function writeCommandRecord(path: string, { shutdown, entries }: CommandRecord): Promise<void> {
  if (shutdown === undefined && entries.length === 0) {
    await rm(path, { force: true });
    return;
  }
  const written = entries.map(({ subnet, add, remove }) => ({ subnet: subnet.toString(), add, remove }));
  const text = `${JSON.stringify({ version: 1, shutdown, entries: written })}\n`;
  await writeFileAtomic(path, text, { mode: 0o600, directoryMode: 0o700 });
}
