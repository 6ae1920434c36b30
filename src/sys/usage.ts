/** What a process has used of the machine so far: proc_pid_status(5), and schedstat of each of its threads. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isCode } from '../base/errors.ts';

export interface Usage {
  /** Milliseconds on a processor, of all threads that still run. */
  readonly cpu: number;
  /** Bytes in memory, with the pages of files that other processes may share: the program itself, libraries. */
  readonly resident: number;
  /** Of them, those that no other process shares. */
  readonly anonymous: number;
  /** The most that was ever resident, or since the last `forgetPeak`. */
  readonly peak: number;
}

/** @throws Error with code ENOENT or ESRCH when there is no such process. */
export function usageOf(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  const cpu = readdirSync(`/proc/${pid}/task`).reduce(
    (sum, thread) => sum + nanosecondsOf(`/proc/${pid}/task/${thread}/schedstat`),
    0,
  );
  return {
    cpu: cpu / 1e6,
    resident: bytes('VmRSS'),
    anonymous: bytes('RssAnon'),
    peak: bytes('VmHWM'),
  };
}

/** Spent running: the first field (Documentation/scheduler/sched-stats.rst). 0 for a thread that has ended since it was listed. */
function nanosecondsOf(schedstat: string): number {
  try {
    return Number(readFileSync(schedstat, 'utf8').split(' ')[0]);
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ESRCH')) return 0;
    throw error;
  }
}

/** Lets `peak` begin anew: proc_pid_clear_refs(5). @throws Error as `usageOf`, and with EACCES for a process of another user */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}
