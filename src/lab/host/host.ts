/**
 * One host of a lab, as something to run programs on. It only needs the anchor's process id, so a lab that
 * another command made is driven in the same way as one's own.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { spawnInPidNamespace } from '../../sys/pid-namespace.ts';
import type { ProcessId } from '../../sys/pidfd.ts';
import { attachTerminal, type Exit, type RunOptions, type RunResult, run } from '../../sys/process.ts';
import { namespacesOf } from './anchor.ts';

/** The directory of this program, which every host sees as well. */
const PROJECT = join(import.meta.dirname, '../../..');

export const TULLE = join(PROJECT, 'bin/tulle');

/** Logs of what a host runs; private to the host, like all of its /run. */
const LOG_DIRECTORY = '/run/log';

export class LabHost {
  readonly name: string;
  readonly anchor: ProcessId;

  constructor(name: string, anchor: ProcessId) {
    this.name = name;
    this.anchor = anchor;
  }

  /** Where a file of the host is found from outside. */
  path(inside: string): string {
    return join(`/proc/${this.anchor.pid}/root`, inside);
  }

  logFile(program: string): string {
    return this.path(`${LOG_DIRECTORY}/${program}.log`);
  }

  /** File of the host's network namespace, as seen from outside. */
  get netnsFile(): string {
    return namespacesOf(this.anchor).net;
  }

  run(
    program: string,
    args: readonly string[],
    options: Omit<RunOptions, 'namespaces'> = {},
  ): Promise<RunResult> {
    return run(program, args, { ...options, namespaces: namespacesOf(this.anchor) });
  }

  /** Starts a daemon that logs to `logFile(log)`. */
  start(program: string, args: readonly string[], log: string): Promise<ProcessId> {
    return spawnInPidNamespace(program, args, {
      logFile: this.logFile(log),
      namespaces: namespacesOf(this.anchor),
    });
  }

  /**
   * Runs a program on our terminal, in the host or in another network namespace of it, named by its file there.
   * It starts in our working directory when the host has it.
   */
  attach(program: string, args: readonly string[], netns?: string): Promise<Exit> {
    const namespaces = namespacesOf(this.anchor);
    const cwd = existsSync(this.path(process.cwd())) ? process.cwd() : '/';
    return attachTerminal(program, args, {
      cwd,
      // So that `tulle` is found although it is not installed.
      env: { ...process.env, PATH: `${join(PROJECT, 'bin')}:${process.env['PATH'] ?? ''}` },
      namespaces: netns === undefined ? namespaces : { ...namespaces, net: this.path(netns) },
    });
  }
}

/** Directories that must be the host's own, because programs keep their state there by default. */
const PRIVATE = ['/run', '/var/lib'];

/** What is written over the machine's /etc goes here, and is gone with the host. */
const ETC_LAYERS = '/run/etc';

/**
 * Turns fresh namespaces into a host: state directories and configuration of its own in memory, its host name, names
 * for all hosts. Nothing that runs in it writes to a file of the machine.
 */
export async function prepareHost(host: LabHost, hostsFile: string): Promise<void> {
  // The program itself may lie in one of the directories that are about to be covered.
  const hidden = PRIVATE.some(directory => PROJECT.startsWith(`${directory}/`));
  const shelter = '/mnt';
  if (hidden) await host.run('mount', ['--bind', PROJECT, shelter]);
  for (const directory of PRIVATE) {
    await host.run('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'tulle-lab', directory]);
  }
  if (hidden) {
    await host.run('mkdir', ['-p', PROJECT]);
    await host.run('mount', ['--move', shelter, PROJECT]);
  }
  const [written, work] = [`${ETC_LAYERS}/written`, `${ETC_LAYERS}/work`];
  await host.run('mkdir', ['-p', LOG_DIRECTORY, '/run/flannel', '/run/tulle', '/run/lock', written, work]);
  const layers = `lowerdir=/etc,upperdir=${written},workdir=${work}`;
  await host.run('mount', ['-t', 'overlay', '-o', layers, 'tulle-lab', '/etc']);
  // How the machine's own dockerd is configured, and its key, are none of the lab's.
  await host.run('rm', ['-rf', '/etc/docker']);
  for (const [name, text] of Object.entries(ownFiles(host.name, hostsFile))) {
    const path = `/etc/${name}`;
    // It may be a link to a file that only the machine has.
    await host.run('rm', ['-f', path]);
    await host.run('tee', [path], { input: text });
  }
  await host.run('hostname', [host.name]);
}

/** Files below /etc that say which host this is, or would name the machine's own surroundings. */
const ownFiles = (name: string, hosts: string): Readonly<Record<string, string>> => ({
  hosts,
  hostname: `${name}\n`,
  'machine-id': `${randomUUID().replaceAll('-', '')}\n`,
  'resolv.conf': '# A host of a lab reaches no name server; /etc/hosts has the names of the others.\n',
});
