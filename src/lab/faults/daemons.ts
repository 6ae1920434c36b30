/** The daemons of a host that a fault may stop. */
import { basename } from 'node:path';
import type { ProcessId } from '../../sys/pidfd.ts';
import { processesOf } from '../host/processes.ts';
import { agentOf } from '../service/agent.ts';

/** The process that is this daemon on a host; undefined when none runs. */
export function daemonOf(daemon: 'agent' | 'store' | 'dockerd', anchor: ProcessId): ProcessId | undefined {
  if (daemon === 'agent') return agentOf(anchor);
  return processesOf(anchor).find(({ words }) =>
    daemon === 'store' ? isStore(words) : programOf(words) === daemon,
  )?.id;
}

const programOf = ([program = '']: readonly string[]) => basename(program);

/** etcd, or Node.js with our program and the command `store`. */
const isStore = (words: readonly string[]) =>
  programOf(words) === 'etcd' || (words.includes('store') && words.includes('--insecure-listen'));
