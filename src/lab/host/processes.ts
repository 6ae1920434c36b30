/** The processes of a host, found from outside by its PID namespace. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { endProcess, identify, isAlive, type ProcessId } from '../../sys/pidfd.ts';
import { namespacesOf, waitForDeath } from './anchor.ts';

export interface HostProcess {
  readonly id: ProcessId;
  /** The command line. */
  readonly words: readonly string[];
}

/** Those of the host itself: containers of dockerd have PID namespaces of their own. */
export function processesOf(anchor: ProcessId): HostProcess[] {
  if (!isAlive(anchor)) return [];
  const namespace = linkOf(namespacesOf(anchor).pid);
  return readdirSync('/proc').flatMap(entry => {
    if (!/^\d+$/.test(entry) || linkOf(`/proc/${entry}/ns/pid`) !== namespace) return [];
    const [id, words] = [identify(Number(entry)), textOf(`/proc/${entry}/cmdline`)];
    return id === undefined || words === undefined ? [] : [{ id, words: words.split('\0').slice(0, -1) }];
  });
}

/**
 * Ends everything that runs on a host, at once, as its power switch would. With PID 1 of a namespace the kernel kills the
 * others, and PID 1 is not gone before they are (pid_namespaces(7)).
 */
export async function powerOff(anchor: ProcessId): Promise<void> {
  const first = processesOf(anchor).find(({ id }) => isFirst(id));
  if (first !== undefined) await endProcess(first.id, 0);
  await waitForDeath(anchor);
}

/** Field NSpid of proc(5): its numbers in all namespaces, its own last. */
const isFirst = ({ pid }: ProcessId) => /^NSpid:.*\t1$/m.test(textOf(`/proc/${pid}/status`) ?? '');

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // The process ended while we looked.
    return undefined;
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
