/**
 * Keeps the agent small. It works in bursts and then watches for weeks, while memory that was needed once stays with
 * a process: V8 and the C library keep it for the next time, and Node's machine code stays mapped.
 *
 *     work ─┬─ 50 ms ─┬─ 50 ms ─┬─ ... ─ 5 s ─┐        work that comes meanwhile belongs to this burst
 *           look      look      look          settle
 *
 * While there is work it looks how much is in memory, and from a size on returns what costs nothing: free pages, and
 * code that is read again where it is still needed. When the work is over garbage is collected, if there is enough
 * of it to be worth the time: one changed lease among thousands leaves next to none.
 */
import type { Clock } from '../base/clock.ts';
import type { Latest } from '../base/latest.ts';
import { collectGarbage, residentMemory, returnFreeMemory } from '../sys/memory.ts';

/** The memory of this process, in bytes. */
export interface ProcessMemory {
  resident(): number;
  /** Returns what is free, or can be had again for little. */
  returnFree(): void;
  collectGarbage(): void;
}

const OWN_MEMORY: ProcessMemory = {
  resident: residentMemory,
  returnFree: returnFreeMemory,
  collectGarbage,
};

/** Milliseconds between two looks. In that time an agent with thousands of peers takes a few megabytes more. */
const STEP = 50;
/** Milliseconds from some work to the collection of its garbage; in between there may be more of it. */
const QUIET = 5_000;
/** An agent with few peers stays below it, and is left alone. */
const SMALL = 60_000_000;
/** So much more than after the last collection is worth another. */
const GARBAGE = 4_000_000;

/**
 * Looks after this process until `signal` aborts.
 *
 * @param work changes with everything that leaves garbage. The start is work, too.
 */
export async function keepMemorySmall(
  work: Latest<unknown>,
  clock: Clock,
  signal: AbortSignal,
  memory: ProcessMemory = OWN_MEMORY,
): Promise<void> {
  let settled = 0;
  for await (const _ of work.changes(signal)) {
    const end = clock.monotonic() + QUIET;
    while (!signal.aborted && clock.monotonic() < end) {
      await clock.sleep(STEP, signal).catch(() => undefined);
      if (memory.resident() > SMALL) memory.returnFree();
    }
    if (signal.aborted) return;
    memory.returnFree();
    if (memory.resident() < settled + GARBAGE) continue;
    memory.collectGarbage();
    memory.returnFree();
    settled = memory.resident();
  }
}
