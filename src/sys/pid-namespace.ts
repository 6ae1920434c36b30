/**
 * Programs that belong to a PID namespace. A process whose parent stays outside is reaped by that parent or, when the
 * parent is gone, by the machine's PID 1; until then it is a zombie, and the namespace cannot end. On some machines,
 * containers above all, PID 1 reaps nothing. So the program is orphaned at once inside of the namespace, whose own
 * PID 1 then reaps it.
 */
import { once } from 'node:events';
import { closeSync, fstatSync, readdirSync, readlinkSync } from 'node:fs';
import type { Namespaces } from './launch.ts';
import { pipe } from './libc.ts';
import { identify, type ProcessId } from './pidfd.ts';
import { ProcessError, type StartOptions, start } from './process.ts';

export interface SpawnInPidNamespaceOptions extends Omit<StartOptions, 'pipeOutput' | 'namespaces'> {
  readonly namespaces: Namespaces & { readonly pid: string };
  /** Resolve only when it has said something on its standard output, which is not logged then. */
  readonly awaitOutput?: boolean;
}

/**
 * Starts a program inside a PID namespace and returns its identity as seen from here. It inherits a pipe as
 * descriptor 3, whose other end is closed: by this it is found, maybe before it has executed the program.
 *
 * @throws ProcessError when it has ended already; SysError.
 */
export async function spawnInPidNamespace(
  program: string,
  args: readonly string[],
  { awaitOutput = false, inherit = [], ...options }: SpawnInPidNamespaceOptions,
): Promise<ProcessId> {
  const mark = pipe();
  try {
    // setsid(1) leaves the program behind as its child and ends.
    const parent = await start('setsid', ['--fork', program, ...args], {
      ...options,
      inherit: [mark.read, ...inherit],
      pipeOutput: awaitOutput,
    });
    const { stdout } = parent;
    // Listening begins before anything is awaited: an event without a listener is dropped.
    const spoken = stdout && Promise.race([once(stdout, 'data'), once(stdout, 'close')]);
    await parent.exited;
    const id = findHolder(`pipe:[${fstatSync(mark.read).ino}]`);
    await spoken;
    stdout?.destroy();
    if (id === undefined) throw new ProcessError('EXITED', `${program} ended at once`, { op: program });
    return id;
  } finally {
    closeSync(mark.read);
    closeSync(mark.write);
  }
}

/** The first process with this file as descriptor 3; it may have handed it on to children already. */
function findHolder(file: string): ProcessId | undefined {
  return readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry) && linkOf(`/proc/${entry}/fd/3`) === file)
    .flatMap(entry => identify(Number(entry)) ?? [])
    .sort((a, b) => a.started - b.started || a.pid - b.pid)[0];
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // No such descriptor, or the process ended while we looked.
    return undefined;
  }
}
