/**
 * An anchor holds namespaces together with a PID namespace: whatever is started inside lives no longer than it.
 *
 *     unshare --pid --fork --kill-child ...      the launcher: in the new namespaces, but for the PID namespace
 *       └─ cat                                   PID 1 in there: waits for the end of its standard input
 *
 * The other end of that input is the lifeline. When the last process that has it open is gone, however it went,
 * `cat` ends, and the kernel kills everything in its PID namespace, including anchors within; with their last
 * process the namespaces disappear with all links and mounts in them. So a half-made lab ends with its maker,
 * and nobody has to clean up. To outlive us a lab is given a keeper: a process inside that inherits the
 * lifelines and does nothing else.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { endProcess, identify, type ProcessId, waitForEnd } from '../sys/pidfd.ts';
import { type Namespaces, start } from '../sys/process.ts';
import { LabError } from './errors.ts';

export interface AnchorOptions {
  /** Give it a file system of its own, in which /proc shows the PID namespace, and a host name. */
  readonly host?: boolean;
  /** Put it inside another one. */
  readonly within?: ProcessId;
}

export class Anchor implements AsyncDisposable {
  /** Names the anchor; its namespaces are those of `namespacesOf`. */
  readonly id: ProcessId;
  readonly lifeline: Writable;

  private constructor(id: ProcessId, lifeline: Writable) {
    this.id = id;
    this.lifeline = lifeline;
  }

  /** New namespaces, ready to be entered. */
  static async drop({ host = false, within }: AnchorOptions = {}): Promise<Anchor> {
    const separate = ['--pid', '--fork', '--kill-child', '--net'];
    if (host) separate.push('--uts', '--mount', '--propagation=private', '--mount-proc');
    const launcher = await start(
      'unshare',
      // With SIGCHLD ignored the kernel buries orphans by itself, which PID 1 would have to do otherwise.
      [...separate, '--', 'env', '--ignore-signal=CHLD', 'cat'],
      {
        pipes: true,
        ...(within === undefined ? {} : { namespaces: { pid: namespacesOf(within).pid } }),
      },
    );
    const { stdin, stdout } = launcher;
    const failed = (cause?: unknown) =>
      new LabError('START_FAILED', 'the kernel refused to make namespaces', {
        op: 'unshare',
        hint: 'a container needs --privileged to run a lab',
        cause,
      });
    if (stdin === undefined || stdout === undefined) throw failed();
    stdin.on('error', () => undefined);
    // What cat says after us tells that it runs, and so that the namespaces are complete.
    stdin.write('?');
    await Promise.race([once(stdout, 'data'), launcher.exited.then(exit => Promise.reject(failed(exit)))]);
    stdout.destroy();
    launcher.unref();
    const id = identify(launcher.pid);
    if (id === undefined) throw failed();
    return new Anchor(id, stdin);
  }

  /** Ends everything inside. When the promise resolves nothing of it runs any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.lifeline.destroy();
    await waitForDeath(this.id);
  }
}

/** Paths of an anchor's namespaces. The launcher itself stays outside of the PID namespace it made. */
export function namespacesOf({
  pid,
}: ProcessId): Required<Pick<Namespaces, 'mount' | 'net' | 'uts' | 'pid'>> {
  const at = (name: string) => `/proc/${pid}/ns/${name}`;
  return { mount: at('mnt'), net: at('net'), uts: at('uts'), pid: at('pid_for_children') };
}

/** Starts a process inside `within` that holds on to `lifelines` until it is ended. */
export async function startKeeper(within: ProcessId, lifelines: readonly Writable[]): Promise<ProcessId> {
  const keeper = await start('sleep', ['infinity'], {
    inherit: lifelines,
    namespaces: { pid: namespacesOf(within).pid },
  });
  keeper.unref();
  const id = identify(keeper.pid);
  if (id === undefined) throw new LabError('START_FAILED', 'the lab ended while it was handed over');
  return id;
}

/** Ends an anchor that is not ours, by ending its keeper. Already gone is success. */
export async function endAnchor(anchor: ProcessId, keeper: ProcessId): Promise<void> {
  await endProcess(keeper);
  await waitForDeath(anchor);
}

const DYING_MS = 10_000;

/**
 * The launcher ends when the last process inside is dead and buried. Those whose parent was outside and is gone
 * are buried by the machine's PID 1, which in a container may be a program that never does.
 */
async function waitForDeath(anchor: ProcessId): Promise<void> {
  const ended = await waitForEnd(anchor, AbortSignal.timeout(DYING_MS));
  if (!ended) await endProcess(anchor, 0);
}
