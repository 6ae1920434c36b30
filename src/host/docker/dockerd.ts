/** The dockerd of this host: where it is, how it was started, and which options it knows. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { isCode } from '../../base/errors.ts';
import type { run } from '../../sys/process.ts';
import { programsHere } from '../../sys/process-search.ts';

export type RunForDocker = (program: string, args: readonly string[]) => ReturnType<typeof run>;

export interface Dockerd {
  /** Whether it runs in this network namespace. */
  readonly running: boolean;
  /** Its arguments: of the process, else of the unit; none where there is neither. */
  readonly words: readonly string[];
  /** Options that it has, without dashes; undefined when it cannot be asked. */
  readonly options: ReadonlySet<string> | undefined;
  /** `20.10.24`; undefined when it cannot be asked. */
  readonly version: string | undefined;
}

export async function findDockerd(runProgram: RunForDocker): Promise<Dockerd> {
  const [process] = programsHere('dockerd');
  const words = process?.words.slice(1) ?? (await wordsOfUnit(runProgram));
  // The program that runs may be another one than that on the path.
  const program = process === undefined ? 'dockerd' : `/proc/${process.id.pid}/exe`;
  const [help, version] = [
    await said(runProgram, program, '--help'),
    await said(runProgram, program, '--version'),
  ];
  return {
    running: process !== undefined,
    words,
    options: help === undefined ? undefined : optionsIn(help),
    version: /\bversion (\d+(?:\.\d+)*)/.exec(version ?? '')?.[1],
  };
}

/** undefined when there is no such program, or it does not know the option. */
async function said(runProgram: RunForDocker, program: string, option: string): Promise<string | undefined> {
  try {
    return (await runProgram(program, [option])).stdout;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'EACCES', 'EXITED', 'SIGNALED', 'TIMEOUT')) return undefined;
    throw error;
  }
}

/** `      --bip string     Specify network bridge IP`, `  -b, --bridge string  ...`. */
export const optionsIn = (help: string): ReadonlySet<string> =>
  new Set([...help.matchAll(/^ {2,}(?:-\w, )?--([a-z][a-z0-9-]*)/gm)].map(([, name = '']) => name));

/** sd_booted(3). */
export const hasSystemd = (): boolean => existsSync('/run/systemd/system');

export const DOCKER_UNIT = 'docker.service';

async function wordsOfUnit(runProgram: RunForDocker): Promise<readonly string[]> {
  if (!hasSystemd()) return [];
  const { stdout } = await runProgram('systemctl', ['show', DOCKER_UNIT, '--property=ExecStart']);
  return wordsOfExecStart(stdout);
}

/** `ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// ; ... }`: its arguments. */
export function wordsOfExecStart(text: string): readonly string[] {
  const [, line = ''] = /argv\[\]=(.*?) ;/.exec(text) ?? [];
  const [program = '', ...words] = line.split(/\s+/);
  return basename(program) === 'dockerd' ? words : [];
}

/** Options without a value, among those that matter here: dockerd takes no further word for them. */
const SWITCHES = new Set([
  'ip-masq',
  'ipv6',
  'allow-direct-routing',
  'live-restore',
  'iptables',
  'debug',
  'D',
]);

/** Values of a command line by option, `-b` as `bridge`; an option that is there twice has both. */
export function flagsIn(words: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const flags = new Map<string, string[]>();
  for (let at = 0; at < words.length; at++) {
    const [, given = '', assigned] = /^--?([a-zA-Z][\w-]*)(?:=(.*))?$/s.exec(words[at] ?? '') ?? [];
    if (given === '') continue;
    const name = given === 'b' ? 'bridge' : given;
    const next = words[at + 1];
    const takesNext = assigned === undefined && !SWITCHES.has(given) && next?.startsWith('-') === false;
    if (takesNext) at++;
    flags.set(name, [...(flags.get(name) ?? []), assigned ?? (takesNext ? (next ?? '') : 'true')]);
  }
  return flags;
}
