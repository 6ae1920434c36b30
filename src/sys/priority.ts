/** How much of the processors a process gets when there is not enough for all: sched(7). */
import { writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { isCode } from '../base/errors.ts';

/**
 * Puts a process, which leads a session of its own, before ordinary ones. Threads that it starts from now on inherit it.
 * With autogroups, sessions compete with each other and the nice value counts only inside of one, so both are set.
 * Does nothing for a process that has ended, and when we may not (CAP_SYS_NICE).
 */
export function preferSession(pid: number): void {
  const { PRIORITY_HIGH } = constants.priority;
  try {
    setPriority(pid, PRIORITY_HIGH);
    writeFileSync(`/proc/${pid}/autogroup`, `${PRIORITY_HIGH}`, { flag: 'r+' });
  } catch (error) {
    // ERR_SYSTEM_ERROR is how setPriority reports any errno; ENOENT: this kernel has no autogroups.
    if (!isCode(error, 'ERR_SYSTEM_ERROR', 'ENOENT', 'ESRCH', 'EPERM', 'EACCES', 'EAGAIN', 'EINVAL'))
      throw error;
  }
}
