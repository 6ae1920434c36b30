/**
 * Processes that are not our children: waiting for their end, and ending them.
 *
 * A number is no identity, because the kernel reuses it later. A ProcessId is the number with
 * the time of birth; a pidfd (pidfd_open(2), Linux 5.3) then holds on to that process while it is signalled and
 * becomes readable when it has ended, so nothing here polls.
 */
import { closeSync, readFileSync } from 'node:fs';
import { isCode } from '../base/errors.ts';
import { pidfdGetfd, pidfdOpen, pidfdSendSignal } from './libc.ts';
import { readable } from './readiness.ts';

export interface ProcessId {
  readonly pid: number;
  /** In clock ticks since boot: field 22 of /proc/PID/stat. */
  readonly started: number;
}

/** undefined when there is no such process, or only a zombie of it. */
export function identify(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses, and may hold spaces and parentheses itself.
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? undefined : { pid, started: Number(rest[18]) };
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.started === id.started;
}

/** Resolves when the process has ended: true. False when `signal` aborted first. */
export async function waitForEnd(id: ProcessId, signal?: AbortSignal): Promise<boolean> {
  const pidfd = openPidfd(id);
  if (pidfd === undefined) return true;
  try {
    return await ended(pidfd, signal);
  } finally {
    closeSync(pidfd);
  }
}

/**
 * Ends a process: SIGTERM, then SIGKILL when it is still there after `grace` milliseconds (0: SIGKILL at once).
 * Already gone is success; when the promise resolves it has ended.
 */
export async function endProcess(id: ProcessId, grace = 5000): Promise<void> {
  const pidfd = openPidfd(id);
  if (pidfd === undefined) return;
  try {
    if (grace > 0) {
      pidfdSendSignal(pidfd, SIGTERM);
      if (await ended(pidfd, AbortSignal.timeout(grace))) return;
    }
    pidfdSendSignal(pidfd, SIGKILL);
    await ended(pidfd);
  } finally {
    closeSync(pidfd);
  }
}

/**
 * A close-on-exec copy of a descriptor that another process has open: the same socket, or the same place in a file
 * (pidfd_getfd(2), Linux 5.6). Undefined when the process has ended, or has no such descriptor.
 */
export function copyDescriptor(id: ProcessId, fd: number): number | undefined {
  const pidfd = openPidfd(id);
  if (pidfd === undefined) return undefined;
  try {
    return pidfdGetfd(pidfd, fd);
  } catch (error) {
    if (isCode(error, 'EBADF', 'ESRCH')) return undefined;
    throw error;
  } finally {
    closeSync(pidfd);
  }
}

const SIGKILL = 9;
const SIGTERM = 15;

function openPidfd(id: ProcessId): number | undefined {
  const pidfd = pidfdOpen(id.pid);
  if (pidfd === undefined) return undefined;
  // Only now is the number pinned: what it names can no longer change.
  if (isAlive(id)) return pidfd;
  closeSync(pidfd);
  return undefined;
}

/** False when `signal` aborted first. */
async function ended(pidfd: number, signal?: AbortSignal): Promise<boolean> {
  try {
    await readable(pidfd, signal);
    return true;
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    return false;
  }
}
