/**
 * Starting a child in namespaces. That is the work of nsenter(1), with one exception: a PID namespace applies to
 * children, so nsenter would have to stay as a parent that forwards no signals. Instead this thread points its own
 * future children there for the moment of the spawn, and the child is ours.
 */
import { type ChildProcess, type SpawnOptions, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { isCode } from '../base/errors.ts';
import { SysError } from './errors.ts';
import { setns } from './libc.ts';

/** Namespaces to run in, each by path: `/proc/PID/ns/net`, `/run/netns/x`. An absent one is ours. */
export interface Namespaces {
  readonly mount?: string;
  readonly net?: string;
  readonly uts?: string;
  readonly pid?: string;
  readonly cgroup?: string;
}

/** Where and as what a program runs. */
export interface Placement {
  readonly namespaces?: Namespaces;
  /** Working directory; below the root of the mount namespace when that is given. Default: ours, or `/` there. */
  readonly cwd?: string;
  /** Replaces our environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Spawns, and resolves when the program runs. @throws SysError when it cannot be started (ENOENT: no such program) */
export async function launch(
  program: string,
  args: readonly string[],
  placement: Placement,
  stdio: StdioOptions,
  options: SpawnOptions = {},
): Promise<ChildProcess> {
  const { cwd, env, namespaces = {} } = placement;
  const entering = nsenterOptions(namespaces, cwd);
  const [file, argv] =
    entering.length === 0 ? [program, args] : ['nsenter', [...entering, '--', program, ...args]];
  const child = inPidNamespace(namespaces.pid, () =>
    spawn(file, argv, {
      ...options,
      stdio,
      shell: false,
      ...(env === undefined ? {} : { env }),
      ...(cwd === undefined || entering.length > 0 ? {} : { cwd }),
    }),
  );
  try {
    await once(child, 'spawn');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'EACCES', 'ENOTDIR', 'ENOMEM', 'EAGAIN', 'E2BIG')) {
      const { errno = 0 } = error as NodeJS.ErrnoException;
      throw new SysError('spawn', -errno, { path: file, cause: error });
    }
    throw error;
  }
  return child;
}

function nsenterOptions({ mount, net, uts, cgroup }: Namespaces, cwd: string | undefined): string[] {
  const options = Object.entries({ mount, net, uts, cgroup }).flatMap(([name, path]) =>
    path === undefined ? [] : [`--${name}=${path}`],
  );
  // The directory is looked up after entering; without it the working directory stays outside the new root.
  if (options.length > 0 && (mount !== undefined || cwd !== undefined)) options.push(`--wdns=${cwd ?? '/'}`);
  return options;
}

/** include/uapi/linux/sched.h. */
const CLONE_NEWPID = 0x20000000;

/** The children that `fn` makes start in the PID namespace at `path`; ours stays as it is. */
function inPidNamespace<T>(path: string | undefined, fn: () => T): T {
  if (path === undefined) return fn();
  const home = openSync('/proc/thread-self/ns/pid', 'r');
  try {
    const there = openSync(path, 'r');
    try {
      setns(there, CLONE_NEWPID);
      try {
        return fn();
      } finally {
        setns(home, CLONE_NEWPID);
      }
    } finally {
      closeSync(there);
    }
  } finally {
    closeSync(home);
  }
}
