/** Undoes what commands have made on this host when no agent is to do it any more: for `tulle cleanup`. */
import type { HostCommand } from '../dataplane/tables/commands.ts';
import { readCommandRecord, writeCommandRecord } from './command-record.ts';
import { runCommand } from './run-command.ts';

export interface CommandUndo {
  /** For a person: `what commands have made: SubnetRemoveCommand for 2 peers, ShutdownCommand`. */
  readonly what: string;
  /** Runs them in their order and forgets what was made. @throws AggregateError of what failed; it is then forgotten too */
  readonly run: () => Promise<void>;
}

/** What there is to undo; undefined when there is nothing. @throws Error when the record cannot be read */
export async function undoOf(recordFile: string): Promise<CommandUndo | undefined> {
  const { entries, shutdown } = await readCommandRecord(recordFile);
  const removals = entries.flatMap(({ remove }) => (remove === undefined ? [] : [remove]));
  const commands = [...removals, ...(shutdown === undefined ? [] : [shutdown])];
  if (commands.length === 0) return undefined;
  const parts = [
    ...(removals.length === 0 ? [] : [`SubnetRemoveCommand for ${peers(removals.length)}`]),
    ...(shutdown === undefined ? [] : [shutdown.name]),
  ];
  return {
    what: `what commands have made: ${parts.join(', ')}`,
    run: () => runAll(commands, recordFile),
  };
}

const peers = (count: number) => (count === 1 ? '1 peer' : `${count} peers`);

async function runAll(commands: readonly HostCommand[], recordFile: string): Promise<void> {
  const failures: unknown[] = [];
  for (const command of commands) {
    await runCommand(command, new AbortController().signal).catch(error => failures.push(error));
  }
  await writeCommandRecord(recordFile, { entries: [] });
  if (failures.length > 0) throw new AggregateError(failures, 'commands have failed');
}
