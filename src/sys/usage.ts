/** What a process has used of the machine so far: proc_pid_status(5), and schedstat of each of its threads. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

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
  const cpu = readdirSync(`/proc/${pid}/task`)
    // The first field: nanoseconds spent running (Documentation/scheduler/sched-stats.rst).
    .map(thread => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]))
    .reduce((sum, nanoseconds) => sum + nanoseconds, 0);
  return {
    cpu: cpu / 1e6,
    resident: bytes('VmRSS'),
    anonymous: bytes('RssAnon'),
    peak: bytes('VmHWM'),
  };
}

/** Lets `peak` begin anew: proc_pid_clear_refs(5). @throws Error as `usageOf`, and with EACCES for a process of another user */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}
