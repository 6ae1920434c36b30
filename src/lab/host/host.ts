/**
 * One host of a lab, as something to run programs on. It only needs the anchor's process id, so a lab that
 * another command made is driven in the same way as one's own.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { spawnInPidNamespace } from '../../sys/pid-namespace.ts';
import type { ProcessId } from '../../sys/pidfd.ts';
import { attachTerminal, type Exit, type RunOptions, type RunResult, run } from '../../sys/process.ts';
import type { PassedSocket } from '../../sys/socket-activation.ts';
import { namespacesOf } from './anchor.ts';

/** The directory of this program, which every host sees as well. */
export const PROJECT = join(import.meta.dirname, '../../..');

export const TULLE = join(PROJECT, 'bin/tulle');

/** Logs of what a host runs; private to the host, like all of its /run. */
export const LOG_DIRECTORY = '/run/log';

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

  /** Starts a daemon that logs to `logFile(log)`, with sockets that others hold for it. */
  start(
    program: string,
    args: readonly string[],
    log: string,
    passed: readonly PassedSocket[] = [],
  ): Promise<ProcessId> {
    return spawnInPidNamespace(program, args, {
      passed,
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
