/** What tests of labs share: the command, the traces a lab could leave, and what to look at when a test fails. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../src/base/errors.ts';
import type { LabHost } from '../../src/lab/host/host.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { type HostProcess, processesOf } from '../../src/lab/host/processes.ts';
import { requireCapabilities } from '../../src/lab/requirements.ts';
import { identify, waitForEnd } from '../../src/sys/pidfd.ts';
import { type RunOptions, type RunResult, run } from '../../src/sys/process.ts';
import { requires } from './capabilities.ts';
import { eventually } from './eventually.ts';

/** `tulle lab ...` as a person would run it; any exit status is a result. */
export function lab(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(TULLE, ['lab', ...args], { anyStatus: true, timeout: 150_000, ...options });
}

/** Options for `test`: what a lab with these programs needs. */
export function needsLab(programs: Parameters<typeof requireCapabilities>[0] = {}): {
  skip: string | false;
} {
  try {
    requireCapabilities(programs);
    return requires(true, '');
  } catch (error) {
    return requires(false, messageOf(error));
  }
}

/** A name for a lab that no other test and no user has. */
export function labName(): string {
  return `tt-${Math.random().toString(36).slice(2, 10)}`;
}

/** The programs that run in a host, found from outside. */
export const programsOf = (host: LabHost): HostProcess[] => processesOf(host.anchor);

/** The agent of a host, which has one. A program that an agent is starting looks like the agent for a moment. */
export const agentOf = (host: LabHost): Promise<HostProcess> =>
  eventually(`one agent runs on ${host.name}`, async () => {
    const [first, ...others] = programsOf(host).filter(({ words }) => words.includes('agent'));
    return others.length === 0 && first;
  });

/** Everything whose environment has this variable: what a command started, however far removed. */
export function markedWith(name: string, value: string): HostProcess[] {
  return processes(pid =>
    readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`${name}=${value}`),
  );
}

/** The command lines of those that are still there when each has had a while to end. */
export async function survivors(programs: readonly HostProcess[]): Promise<string[]> {
  const patience = AbortSignal.timeout(45_000);
  const ended = await Promise.all(programs.map(({ id }) => waitForEnd(id, patience)));
  return programs.filter((_, index) => ended[index] !== true).map(({ words }) => words.join(' '));
}

function processes(wanted: (pid: number) => boolean): HostProcess[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => {
      try {
        const id = wanted(Number(name)) ? identify(Number(name)) : undefined;
        const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').slice(0, -1);
        return id === undefined ? [] : [{ id, words }];
      } catch {
        // It ended while we looked.
        return [];
      }
    });
}

/** What a lab could have left outside of its own namespaces, and must not. */
export async function tracesOf(name: string): Promise<string[]> {
  const { stdout: links } = await run('ip', ['-brief', 'link']);
  const groups = ['/sys/fs/cgroup', ...listing('/sys/fs/cgroup').map(entry => `/sys/fs/cgroup/${entry}`)];
  return [
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter(line => line.includes('tulle-lab')),
    ...links.split('\n').filter(line => /^(docker[1-9]|veth-c\d|br\.|flannel)/.test(line)),
    ...listing('/run/netns').filter(entry => /^(docker[1-9]|c\d|fabric)$/.test(entry)),
    ...groups.map(group => join(group, `tulle-lab-${name}`)).filter(existsSync),
    ...listing('/run/tulle/labs').filter(entry => entry.includes(name)),
  ];
}

function listing(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** Everything one wants to see of a host when something on it is not as expected. */
export async function dumpHost(host: LabHost): Promise<string> {
  const commands = [
    ['ip', '-d', 'address'],
    ['ip', 'route'],
    ['ip', '-6', 'route'],
    ['ip', 'nexthop'],
    ['ip', 'neighbor'],
    ['bridge', 'fdb'],
    ['nft', 'list', 'ruleset'],
    ['cat', '/run/flannel/subnet.env'],
    [
      'etcdctl',
      '--endpoints=http://192.168.65.3:2379',
      '--dial-timeout=1s',
      '--command-timeout=1s',
      'get',
      '--prefix',
      '/coreos.com/network',
    ],
    ['tail', '-n', '60', '/run/log/agent.log'],
  ];
  const parts: string[] = [`======== ${host.name}`];
  for (const [program = '', ...args] of commands) {
    parts.push(`-------- ${host.name}: ${program} ${args.join(' ')}`);
    try {
      const { stdout, stderr } = await host.run(program, args, { anyStatus: true, timeout: 10_000 });
      parts.push(`${stdout}${stderr}`.trimEnd());
    } catch (error) {
      parts.push(String(error));
    }
  }
  return parts.join('\n');
}
