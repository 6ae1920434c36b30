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

/** Those that have commands for this host. @param host its name */
export const fixableOn = (findings: readonly FixableFinding[], host: string): FixableFinding[] =>
  findings.filter(finding => finding.host === host && finding.fix !== undefined);

/**
 * Probes take seconds, in which somebody else may have mended it, or a container has gone and its process id is that of
 * another: what is found a second time is fixed, as it is found then.
 */
export const foundAgain = (
  before: readonly FixableFinding[],
  now: readonly FixableFinding[],
): FixableFinding[] =>
  before.flatMap(({ code, reason }) => now.find(one => one.code === code && one.reason === reason) ?? []);

/** @param findings of this host */
export async function fixAll(findings: readonly FixableFinding[], signal: AbortSignal): Promise<Fixed[]> {
  const done = new Map<string, Promise<string | undefined>>();
  const fixed: Fixed[] = [];
  for (const finding of findings) {
    const commands: string[] = [];
    let failure: string | undefined;
    for (const command of finding.fix ?? []) {
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
