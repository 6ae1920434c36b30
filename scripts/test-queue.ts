/**
 * Jobs in their order, as many at a time as there are processors. Many tests wait for most of their time, for packets that do
 * not come: while processors are idle one more runs beside the others.
 */
import { availableParallelism, cpus } from 'node:os';

export interface Job {
  /** Processors that it may keep busy, or all of them: then it runs alone. */
  readonly weight: number;
  readonly run: () => Promise<void>;
}

interface QueueOptions {
  /** Weight of what runs at a time; the number of processors unless given. */
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
  const running = new Set<Promise<void>>();
  let used = 0;
  const failures: unknown[] = [];
  const start = (job: Job): void => {
    used += job.weight;
    const work = job.run().catch((error: unknown) => void failures.push(error));
    const ended = work.finally(() => {
      used -= job.weight;
      running.delete(ended);
    });
    running.add(ended);
  };
  /** @param most weight of what may run; what needs more than there is runs alone */
  const startUpTo = (most: number): void => {
    for (let [first] = waiting; first !== undefined; [first] = waiting) {
      if (used > 0 && used + first.weight > most) return;
      waiting.shift();
      start(first);
    }
  };
  const timer = setInterval(() => {
    if (idleShare() >= IDLE && failures.length === 0) startUpTo(room + 1);
  }, interval);
  try {
    startUpTo(room);
    while (running.size > 0) {
      await Promise.race(running);
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
