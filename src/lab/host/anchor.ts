/**
 * An anchor holds namespaces together with a PID namespace: whatever is started inside lives no longer than it.
 *
 *     unshare --pid --fork --kill-child ...      the launcher: in the new namespaces, but for the PID namespace
 *       └─ cat                                   PID 1 in there: waits for the end of its standard input
 *
 * The other end of that input is the lifeline. When the last process that has it open is gone, however it went,
 * `cat` ends, and the kernel kills everything in its PID namespace, including anchors within; with their last
 * process the namespaces disappear with all links and mounts in them. So a half-made lab ends with its maker,
 * and no cleanup is needed. To outlive us a lab is given a keeper: a process inside that inherits the
 * lifelines and does nothing else.
 */
import { once } from 'node:events';
import { closeSync, writeSync } from 'node:fs';
import type { Namespaces } from '../../sys/launch.ts';
import { pipe } from '../../sys/libc.ts';
import { spawnInPidNamespace } from '../../sys/pid-namespace.ts';
import { endProcess, identify, type ProcessId, waitForEnd } from '../../sys/pidfd.ts';
import { start } from '../../sys/process.ts';
import { LabError } from '../errors.ts';

export interface AnchorOptions {
  /** Give it a file system of its own, in which /proc shows the PID namespace, and a host name. */
  readonly host?: boolean;
  /** Give it mounts of its own. */
  readonly mounts?: boolean;
  /** Put it inside another one. */
  readonly within?: ProcessId;
}

export class Anchor implements AsyncDisposable {
  /** Names the anchor; its namespaces are those of `namespacesOf`. */
  readonly id: ProcessId;
  /** Open descriptor of the lifeline. */
  readonly lifeline: number;
  #released = false;

  private constructor(id: ProcessId, lifeline: number) {
    this.id = id;
    this.lifeline = lifeline;
  }

  /** New namespaces, ready to be entered. */
  static async drop({ host = false, mounts = host, within }: AnchorOptions = {}): Promise<Anchor> {
    const separate = ['--pid', '--fork', '--kill-child', '--net'];
    if (mounts) separate.push('--mount', '--propagation=private');
    if (host) separate.push('--uts', '--mount-proc');
    // With SIGCHLD ignored the kernel buries orphans by itself, which PID 1 would have to do otherwise.
    const args = [...separate, '--', 'env', '--ignore-signal=CHLD', 'cat'];
    const { read, write } = pipe();
    // The output of cat shows that it runs, and so that the namespaces are complete.
    writeSync(write, '?');
    try {
      const id = await (within === undefined ? launch(args, read) : launchWithin(within, args, read));
      return new Anchor(id, write);
    } catch (cause) {
      closeSync(write);
      throw new LabError('START_FAILED', 'the kernel refused to make namespaces', {
        op: 'unshare',
        hint: 'a container needs --privileged to run a lab',
        cause,
      });
    } finally {
      closeSync(read);
    }
  }

  /** Lets go: from now on the anchor lives as long as others hold the lifeline. */
  release(): void {
    if (!this.#released) closeSync(this.lifeline);
    this.#released = true;
  }

  /** Ends everything inside. When the promise resolves nothing of it runs any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await waitForDeath(this.id);
  }
}

async function launch(args: readonly string[], stdin: number): Promise<ProcessId> {
  const launcher = await start('unshare', args, { stdin, pipeOutput: true });
  const { stdout } = launcher;
  if (stdout !== undefined) await Promise.race([once(stdout, 'data'), once(stdout, 'close')]);
  stdout?.destroy();
  launcher.unref();
  const id = identify(launcher.pid);
  if (id === undefined) throw new Error('unshare ended at once');
  return id;
}

function launchWithin(outer: ProcessId, args: readonly string[], stdin: number): Promise<ProcessId> {
  const { pid, mount } = namespacesOf(outer);
  const namespaces = { pid, mount };
  return spawnInPidNamespace('unshare', args, { stdin, namespaces, awaitOutput: true });
}

/** Paths of an anchor's namespaces. The launcher itself stays outside of the PID namespace it made. */
export function namespacesOf({
  pid,
}: ProcessId): Required<Pick<Namespaces, 'mount' | 'net' | 'uts' | 'pid'>> {
  const at = (name: string) => `/proc/${pid}/ns/${name}`;
  return { mount: at('mnt'), net: at('net'), uts: at('uts'), pid: at('pid_for_children') };
}

/** Starts a process inside `within` that holds on to the lifelines until it is ended. */
export function startKeeper(within: ProcessId, lifelines: readonly number[]): Promise<ProcessId> {
  return spawnInPidNamespace('sleep', ['infinity'], {
    inherit: lifelines,
    namespaces: { pid: namespacesOf(within).pid },
  });
}

const DYING_MS = 10_000;

/** The launcher ends when the last process inside is dead and buried. */
export async function waitForDeath(anchor: ProcessId): Promise<void> {
  const ended = await waitForEnd(anchor, AbortSignal.timeout(DYING_MS));
  if (!ended) await endProcess(anchor, 0);
}
