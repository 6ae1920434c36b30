/** Running a program in a host of a lab, or in a container of it. */
import { constants } from 'node:os';
import type { Exit } from '../sys/process.ts';
import { LabHost } from './host/host.ts';
import { findTarget } from './record/find.ts';
import type { LabRecord } from './record/record.ts';

/**
 * Runs it on our own terminal and returns how it ended.
 *
 * @param target `docker1`, or `docker1/c1`. A container without a runtime is a network namespace only: the
 *   program sees the host's files and the container's network.
 * @throws LabError NOT_FOUND, HOST_DOWN
 */
export async function execIn(
  lab: LabRecord,
  target: string,
  program: string,
  args: readonly string[],
): Promise<Exit> {
  const { record, container } = findTarget(lab, target);
  const host = new LabHost(record.name, record.anchor);
  if (container === undefined) return host.attach(program, args);
  if (record.runtime === 'namespace') return host.attach(program, args, container.netns);
  const terminal =
    process.stdin.isTTY && process.stdout.isTTY ? ['--interactive', '--tty'] : ['--interactive'];
  return host.attach('docker', ['exec', ...terminal, container.name, program, ...args]);
}

/** The status a shell would report: 128 and the number of the signal that ended it. */
export function exitStatusOf(exit: Exit): number {
  return exit.status ?? 128 + constants.signals[exit.signal];
}
