/**
 * A real dockerd on a host of the lab, on the subnet that the host leased.
 *
 * Everything dockerd writes goes to the host's private /run and /var/lib, except for control groups, which exist
 * once per machine: the lab's are below one directory of its own, which `sweepControlGroups` removes.
 */
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isCode } from '../../base/errors.ts';
import { leaseSettings } from '../../subnet/docker-settings.ts';
import { endProcess } from '../../sys/pidfd.ts';
import { LabError } from '../errors.ts';
import { type DaemonSpec, startDaemon } from '../host/daemon.ts';
import type { LabHost } from '../host/host.ts';
import { processesOf } from '../host/processes.ts';
import type { HostSubnet } from './subnet-env.ts';

/** Milliseconds until a dockerd that does not end is killed. */
const DYING_MS = 20_000;

export interface DockerdOptions {
  /** What the host leased; without one Docker's default bridge has its own 172.17.0.1/16. */
  readonly subnet: HostSubnet | undefined;
  /** Replaces its daemon.json. */
  readonly config?: object | undefined;
}

/** @throws LabError START_FAILED */
export async function startDockerd(
  host: LabHost,
  labName: string,
  { subnet, config }: DockerdOptions,
  signal: AbortSignal,
): Promise<void> {
  if (config !== undefined) await configureDockerd(host, config);
  await serve(host, {
    program: 'dockerd',
    args: [
      ...(subnet === undefined ? [] : subnetFlags(subnet)),
      // The other driver wants systemd's bus, which a lab host does not have.
      '--exec-opt=native.cgroupdriver=cgroupfs',
      `--cgroup-parent=/${controlGroupOf(labName)}/${host.name}`,
    ],
    signal,
  });
}

/** Ends dockerd and its containers, and returns its command line; undefined when none runs. */
export async function stopDockerd(
  host: LabHost,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const dockerd = processesOf(host.anchor).find(
    ({ words: [program = ''] }) => basename(program) === 'dockerd',
  );
  if (dockerd === undefined) return undefined;
  // Containers that wait do not listen to a polite signal, which dockerd would wait ten seconds for.
  const { stdout } = await host.run('docker', ['ps', '--quiet'], { signal });
  const running = stdout.split('\n').filter(id => id !== '');
  if (running.length > 0) await host.run('docker', ['kill', ...running], { signal, anyStatus: true });
  await endProcess(dockerd.id, DYING_MS);
  return dockerd.words;
}

/** Writes the file that the next start of dockerd reads. */
async function configureDockerd(host: LabHost, config: object): Promise<void> {
  await host.run('mkdir', ['-p', '/etc/docker']);
  await host.run('tee', ['/etc/docker/daemon.json'], { input: `${JSON.stringify(config, null, 2)}\n` });
}

/**
 * Ends a dockerd and starts it as it was, so that it reads /etc/docker/daemon.json again. Its containers end with it.
 *
 * @throws LabError START_FAILED
 */
export async function restartDockerd(host: LabHost, signal: AbortSignal): Promise<void> {
  const words = await stopDockerd(host, signal);
  if (words === undefined) throw new LabError('START_FAILED', `no dockerd runs on ${host.name}`);
  const [program = 'dockerd', ...args] = words;
  await serve(host, { program, args, signal });
}

const serve = (host: LabHost, spec: Pick<DaemonSpec, 'program' | 'args' | 'signal'>): Promise<string> =>
  startDaemon(host, {
    ...spec,
    name: 'dockerd',
    accept: log => log.includes('API listen on'),
    patience: 60_000,
  });

const subnetFlags = (subnet: HostSubnet): string[] =>
  Array.from(leaseSettings(subnet), ([option, value]) => `--${option}=${String(value)}`);

const CONTROL_GROUPS = '/sys/fs/cgroup';

const controlGroupOf = (labName: string) => `tulle-lab-${labName}`;

/** Removes the control groups of a lab that has ended. */
export function sweepControlGroups(labName: string): void {
  if (!existsSync(CONTROL_GROUPS)) return;
  // Version 2 has one hierarchy; version 1 has one per controller, side by side.
  const hierarchies = readdirSync(CONTROL_GROUPS, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => join(CONTROL_GROUPS, entry.name));
  for (const hierarchy of [CONTROL_GROUPS, ...hierarchies])
    removeGroups(join(hierarchy, controlGroupOf(labName)));
}

/** Groups are removed from the leaves up; the files in them are not real. */
function removeGroups(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeGroups(join(path, entry.name));
  }
  try {
    rmdirSync(path);
  } catch (error) {
    // A process in it is still dying; the group goes with the next command about this lab.
    if (!isCode(error, 'EBUSY')) throw error;
  }
}
