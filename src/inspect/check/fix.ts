/** Does what is safe: the commands of findings on this host, each once. What is to be done elsewhere stays with its remedy. */
import { messageOf } from '../../base/errors.ts';
import { run } from '../../sys/process.ts';
import { type Command, commandText, type FixableFinding } from '../checks/check.ts';

export interface Fixed {
  readonly finding: FixableFinding;
  readonly commands: readonly string[];
  /** What a command said that failed; the ones after it were not run. */
  readonly failure?: string;
}

/** Milliseconds for one command. */
const PATIENCE = 20_000;

/** @param host name of this host */
export async function fixAll(
  findings: readonly FixableFinding[],
  host: string,
  signal: AbortSignal,
): Promise<Fixed[]> {
  const done = new Map<string, Promise<string | undefined>>();
  const fixed: Fixed[] = [];
  for (const finding of findings) {
    if (finding.host !== host || finding.fix === undefined) continue;
    const commands: string[] = [];
    let failure: string | undefined;
    for (const command of finding.fix) {
      const text = commandText(command);
      const result = done.get(text) ?? runCommand(command, signal);
      done.set(text, result);
      commands.push(text);
      failure = await result;
      if (failure !== undefined) break;
    }
    fixed.push({ finding, commands, ...(failure !== undefined && { failure }) });
  }
  return fixed;
}

/** What it said when it failed. @throws signal.reason */
async function runCommand(
  [program = '', ...args]: Command,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { status, stderr } = await run(program, args, { anyStatus: true, timeout: PATIENCE, signal });
    return status === 0 ? undefined : stderr.trim() || `it ended with ${status}`;
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  }
}
