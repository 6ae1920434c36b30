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
import type { PassedSocket } from './socket-activation.ts';

export interface SpawnInPidNamespaceOptions extends Omit<StartOptions, 'pipeOutput' | 'namespaces'> {
  readonly namespaces: Namespaces & { readonly pid: string };
  /** Resolve only when it has said something on its standard output, which is not logged then. */
  readonly awaitOutput?: boolean;
  /** Listening sockets that it is given as a service manager does it: socket-activation.ts takes them. */
  readonly passed?: readonly PassedSocket[];
}

/**
 * Starts a program inside a PID namespace and returns its identity as seen from here. It inherits a pipe as
 * descriptor 3, or as the one after passed sockets, whose other end is closed: by this it is found, maybe before it has
 * executed the program.
 *
 * @throws ProcessError when it has ended already; SysError.
 */
export async function spawnInPidNamespace(
  program: string,
  args: readonly string[],
  { awaitOutput = false, inherit = [], passed = [], ...options }: SpawnInPidNamespaceOptions,
): Promise<ProcessId> {
  const mark = pipe();
  try {
    // setsid(1) leaves the program behind as its child and ends.
    const words = passed.length === 0 ? [] : KNOWING_ITS_NUMBER;
    const parent = await start('setsid', ['--fork', ...words, program, ...args], {
      ...options,
      ...(passed.length === 0 ? {} : { env: { ...(options.env ?? process.env), ...announce(passed) } }),
      inherit: [...passed.map(({ fd }) => fd), mark.read, ...inherit],
      pipeOutput: awaitOutput,
    });
    const { stdout } = parent;
    // Listening begins before anything is awaited: an event without a listener is dropped.
    const spoken = stdout && Promise.race([once(stdout, 'data'), once(stdout, 'close')]);
    await parent.exited;
    const id = findHolder(`pipe:[${fstatSync(mark.read).ino}]`, FIRST_INHERITED + passed.length);
    await spoken;
    stdout?.destroy();
    if (id === undefined) throw new ProcessError('EXITED', `${program} ended at once`, { op: program });
    return id;
  } finally {
    closeSync(mark.read);
    closeSync(mark.write);
  }
}

/** The descriptor after standard input, output and errors. */
const FIRST_INHERITED = 3;

/** LISTEN_PID is the number of the program in its own PID namespace, which nobody outside can know before it runs. */
const KNOWING_ITS_NUMBER = ['sh', '-c', 'export LISTEN_PID=$$; exec "$@"', 'sh'];

const announce = (passed: readonly PassedSocket[]) => ({
  LISTEN_FDS: String(passed.length),
  LISTEN_FDNAMES: passed.map(({ name }) => name).join(':'),
});

/** The first process with this file as that descriptor; it may have handed it on to children already. */
function findHolder(file: string, descriptor: number): ProcessId | undefined {
  return readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry) && linkOf(`/proc/${entry}/fd/${descriptor}`) === file)
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
