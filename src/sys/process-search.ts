/**
 * Other processes of this host by what they were started with or have open (proc(5)): for the case in which nobody has
 * written down which process it is. It reads all of /proc, so it is for failures alone.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { Netns } from './netns.ts';
import { identify, type ProcessId } from './pidfd.ts';

/** Those in this network namespace that were started with these arguments, among others. */
export function processesWith(...wanted: readonly string[]): ProcessId[] {
  return others()
    .filter(pid => isHere(pid) && wanted.every(argument => argumentsOf(pid).includes(argument)))
    .map(identify)
    .filter(id => id !== undefined);
}

export interface RunningProgram {
  readonly id: ProcessId;
  /** The command line. */
  readonly words: readonly string[];
}

/** Those in this network namespace whose program has this file name, whatever directory it is in; the oldest first. */
export function programsHere(name: string): RunningProgram[] {
  return others()
    .map(pid => ({ pid, words: argumentsOf(pid).slice(0, -1) }))
    .filter(({ pid, words: [program = ''] }) => basename(program) === name && isHere(pid))
    .flatMap(({ pid, words }) => {
      const id = identify(pid);
      return id === undefined ? [] : [{ id, words }];
    })
    .sort((one, other) => one.id.started - other.id.started);
}

/** ``flanneld` (process 812)`: those in this network namespace that have a TUN device of this name open. */
export function holdersOfTun(name: string): string[] {
  return others()
    .filter(pid => isHere(pid) && hasTun(pid, name))
    .map(pid => `\`${commandOf(pid)}\` (process ${pid})`);
}

/** Whether a signal has stopped it, or a debugger. */
export const isStopped = (pid: number): boolean => /^State:\s+[Tt] /m.test(textOf(`/proc/${pid}/status`));

const PORT_TABLES = { tcp: ['tcp', 'tcp6'], udp: ['udp', 'udp6'], sctp: [] } as const;

/** ``nginx` (process 812)`: who has a socket that is bound to a port in the namespace; undefined where nobody is found. */
export function holderOfPort(
  netns: Netns,
  protocol: keyof typeof PORT_TABLES,
  port: number,
): string | undefined {
  const inodes = netns.run(() =>
    PORT_TABLES[protocol].flatMap(table => inodesAt(textOf(`/proc/thread-self/net/${table}`), port)),
  );
  if (inodes.length === 0) return undefined;
  const sockets = new Set(inodes.map(inode => `socket:[${inode}]`));
  const pid = others().find(other => hasSocket(other, sockets));
  return pid === undefined ? undefined : `\`${commandOf(pid)}\` (process ${pid})`;
}

/** Of a listing `  sl  local_address rem_address st ... uid timeout inode`. */
function inodesAt(listing: string, port: number): string[] {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return listing.split('\n').flatMap(line => {
    const fields = line.trim().split(/\s+/);
    return fields[1]?.endsWith(local) === true && fields[9] !== undefined && fields[9] !== '0'
      ? [fields[9]]
      : [];
  });
}

function hasSocket(pid: number, sockets: ReadonlySet<string>): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some(fd => sockets.has(targetOf(`${directory}/${fd}`) ?? ''));
  } catch {
    return false;
  }
}

const others = () =>
  readdirSync('/proc')
    .map(Number)
    .filter(pid => pid > 0 && pid !== process.pid);

function isHere(pid: number): boolean {
  const here = targetOf('/proc/thread-self/ns/net');
  return here !== undefined && here === targetOf(`/proc/${pid}/ns/net`);
}

/** As much of its command line as tells it from others: `node main.ts forwarder`. */
const commandOf = (pid: number) =>
  argumentsOf(pid)
    .filter(argument => argument !== '' && !argument.startsWith('-'))
    .slice(0, 3)
    .map(argument => basename(argument))
    .join(' ');

const argumentsOf = (pid: number) => textOf(`/proc/${pid}/cmdline`).split('\0');

function hasTun(pid: number, name: string): boolean {
  const directory = `/proc/${pid}/fd`;
  const isTun = (fd: string) => targetOf(`${directory}/${fd}`) === '/dev/net/tun';
  // tun_chr_show_fdinfo in drivers/net/tun.c.
  const isNamed = (fd: string) => textOf(`/proc/${pid}/fdinfo/${fd}`).split('\n').includes(`iff:\t${name}`);
  try {
    return readdirSync(directory).some(fd => isTun(fd) && isNamed(fd));
  } catch {
    return false;
  }
}

/** Empty when the process has ended, or is not ours to look at. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
