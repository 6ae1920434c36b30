/**
 * Jobs in their order, as many at a time as there are processors. Many tests wait for most of their time, for packets that do
 * not come: while processors are idle one more runs beside the others. What needs all of them runs alone even then.
 */
import { availableParallelism, cpus } from 'node:os';

export interface Job {
  /** It may keep all processors busy, or measures something: nothing else runs meanwhile. */
  readonly isAlone?: boolean;
  readonly run: () => Promise<void>;
}

interface QueueOptions {
  /** Jobs at a time; the number of processors unless given. */
  readonly room?: number;
  /** Part of all processor time since the last question that was idle, from 0 to 1; measured unless given. */
  readonly idleShare?: () => number;
  /** Milliseconds between two questions. */
  readonly interval?: number;
}

/** From here on there is room for one more. */
const IDLE = 0.4;
const INTERVAL = 10_000;

/** Runs them all. @throws what the first one throws, when those that run have ended */
export async function runQueue(jobs: readonly Job[], options: QueueOptions = {}): Promise<void> {
  const { room = availableParallelism(), idleShare = idleMeter(), interval = INTERVAL } = options;
  const waiting = [...jobs];
  const running = new Map<Promise<void>, Job>();
  const failures: unknown[] = [];
  const start = (job: Job): void => {
    const work = job.run().catch((error: unknown) => void failures.push(error));
    const ended = work.finally(() => void running.delete(ended));
    running.set(ended, job);
  };
  const hasRoomFor = (job: Job, most: number): boolean =>
    running.size < most && ![job, ...running.values()].some(({ isAlone }) => isAlone);
  /** @param most jobs that may run */
  const startUpTo = (most: number): void => {
    for (let [first] = waiting; first !== undefined; [first] = waiting) {
      if (running.size > 0 && !hasRoomFor(first, most)) return;
      waiting.shift();
      start(first);
    }
  };
  const timer = setInterval(() => {
    if (idleShare() >= IDLE && failures.length === 0) startUpTo(room + 1);
  }, interval);
  // The jobs keep the process alive.
  timer.unref();
  try {
    startUpTo(room);
    while (running.size > 0) {
      await Promise.race(running.keys());
      if (failures.length === 0) startUpTo(room);
    }
  } finally {
    clearInterval(timer);
  }
  if (failures.length > 0) throw failures[0];
}

/** @returns a function that says which part of all processor time was idle since it was called last, or since now */
export function idleMeter(): () => number {
  let before = processorTimes();
  return () => {
    const now = processorTimes();
    const [idle, all] = [now.idle - before.idle, now.all - before.all];
    before = now;
    return all > 0 ? idle / all : 0;
  };
}

/** Milliseconds since boot, of all processors. */
function processorTimes(): { readonly idle: number; readonly all: number } {
  const times = cpus().map(cpu => cpu.times);
  const sum = (of: (one: (typeof times)[number]) => number) =>
    times.reduce((total, one) => total + of(one), 0);
  return {
    idle: sum(({ idle }) => idle),
    all: sum(({ user, nice, sys, idle, irq }) => user + nice + sys + idle + irq),
  };
}
