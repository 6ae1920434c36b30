/**
 * Each host of a path has a processor: what runs on it of the path is kept there, as far as it runs in user space. What the
 * scheduler would decide otherwise, from round to round, is no property of a path.
 */
import { availableParallelism } from 'node:os';
import type { LabHost } from '../../lab/host/host.ts';

/** Of the sender, which is on the first host, and of the receiver. */
export const PROCESSORS = [0, availableParallelism() - 1] as const;

/** A command that runs on one processor alone, for as long as it runs. */
export const pinned = (processor: number, command: readonly string[]) =>
  ['taskset', ['--cpu-list', `${processor}`, ...command]] as const;

/**
 * A command that runs before all others that the processor has: SCHED_FIFO, sched(7). Where something else works on the
 * machine, request and response otherwise takes twice as long, now over this path and now over that. Not for a path with a
 * forwarder in user space, which would never get its turn beside a sender that does not wait.
 */
export const aheadOfAll = (command: readonly string[]) => ['chrt', '--fifo', '1', ...command];

/** Keeps a process of a host on one processor, with all its threads. @param pid as the host numbers it */
export async function pin(host: LabHost, pid: number, processor: number, signal: AbortSignal): Promise<void> {
  await host.run('taskset', ['--all-tasks', '--cpu-list', '--pid', `${processor}`, `${pid}`], { signal });
}
