/**
 * A real dockerd on a host of the lab, on the subnet that the host leased, with one image: Debian's static
 * busybox. There is no registry to pull from.
 *
 * Everything dockerd writes goes to the host's private /run and /var/lib, except for control groups, which exist
 * once per machine: the lab's are below one directory of its own, which `sweepControlGroups` removes.
 */
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isCode } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { familiesOf, mapFamilies, perFamily, valuesOf } from '../../base/per-family.ts';
import { formatInterfaceAddress, type InterfaceAddress, Prefix } from '../../base/prefix.ts';
import { endProcess } from '../../sys/pidfd.ts';
import { LabError } from '../errors.ts';
import { type DaemonSpec, startDaemon } from '../host/daemon.ts';
import type { LabHost } from '../host/host.ts';
import { processesOf } from '../host/processes.ts';
import type { ContainerRecord } from '../record/record.ts';
import type { ContainerPlan } from '../topology/host-plan.ts';
import type { HostSubnet } from './subnet-env.ts';

/** Milliseconds until a dockerd that does not end is killed. */
const DYING_MS = 20_000;

const IMAGE = 'busybox';
/** What a container does that waits to be used. */
const IDLE = ['sleep', '2147483647'];
/** Bytes: an image has many files. */
const MOST_OF_A_LISTING = 256 * 1024 * 1024;

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

/** Gives a new dockerd the image of its containers, and returns its name. @throws ProcessError when the tar is none. */
export const provideImage = (
  host: LabHost,
  path: string | undefined,
  signal: AbortSignal,
): Promise<string> => (path === undefined ? importBusybox(host, signal) : importImage(host, path, signal));

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

const subnetFlags = ({ gateway, mtu, masquerade }: HostSubnet): string[] => [
  ...valuesOf(mapFamilies(gateway, bridgeFlags)).flat(),
  `--mtu=${mtu}`,
  `--ip-masq=${!masquerade}`,
];

/** The bridge of Docker has the first address of an IPv6 subnet, too, which it chooses itself. */
function bridgeFlags(gateway: InterfaceAddress, family: Family): string[] {
  if (family === 'ipv4') return [`--bip=${formatInterfaceAddress(gateway)}`];
  return ['--ipv6', `--fixed-cidr-v6=${Prefix.of(gateway.ip, gateway.length)}`];
}

/** Starts containers, and says where they are. */
export async function runContainers(
  host: LabHost,
  containers: readonly ContainerPlan[],
  image: string,
  signal: AbortSignal,
): Promise<ContainerRecord[]> {
  for (const { name, command = IDLE, flags = [] } of containers) {
    const own = ['--detach', '--init=false', '--name', name, '--hostname', name];
    await host.run('docker', ['run', ...own, ...flags, image, ...command], { signal });
  }
  const names = containers.map(({ name }) => name);
  return inspectContainers(host, names, signal);
}

/** Starts those of the containers that dockerd has kept, in this order, and says where they are. */
export async function startContainers(
  host: LabHost,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ContainerRecord[]> {
  const { stdout } = await host.run('docker', ['ps', '--all', '--format', '{{.Names}}'], { signal });
  const known = stdout.split('\n');
  // In the order of the lab: each gets the address that it had.
  const kept = names.filter(name => known.includes(name));
  if (kept.length > 0) await host.run('docker', ['start', ...kept], { signal });
  return inspectContainers(host, kept, signal);
}

/** What `docker inspect` calls the address of a family; the words of a line may not be empty. */
const ADDRESS_MEMBERS = { ipv4: 'IPAddress', ipv6: 'GlobalIPv6Address' } as const satisfies Record<
  Family,
  string
>;
const addressIn = (family: Family) =>
  `{{with .NetworkSettings.Networks.bridge}}{{or .${ADDRESS_MEMBERS[family]} "-"}}{{end}}`;

/** What Docker says of those of the containers that run. */
export async function inspectContainers(
  host: LabHost,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ContainerRecord[]> {
  if (names.length === 0) return [];
  const format = `{{.Name}} {{.NetworkSettings.SandboxKey}} ${addressIn('ipv4')} ${addressIn('ipv6')}`;
  // One that was removed makes the status 1, and the others are printed all the same.
  const { stdout } = await host.run('docker', ['inspect', '--format', format, ...names], {
    signal,
    anyStatus: true,
  });
  return stdout.split('\n').flatMap(line => {
    const [name = '', netns = '', ipv4 = '-', ipv6 = '-'] = line.split(' ');
    const ip = perFamily(family => Ip.tryParse({ ipv4, ipv6 }[family])?.toString());
    if (familiesOf(ip).length === 0 || netns === '') return [];
    // Docker writes a name as a path, and the sandbox below /var/run, which a symbolic link leads to /run.
    return [{ name: name.replace(/^\//, ''), ip, netns: netns.replace(/^\/var\/run\//, '/run/') }];
  });
}

/** A tar of `docker save` has a list of its images, one of `docker export` is a file system. Returns the image's name. */
async function importImage(host: LabHost, path: string, signal: AbortSignal): Promise<string> {
  const tar = '/run/image.tar';
  // The host need not see the directory.
  await copyFile(path, host.path(tar));
  const { stdout: files } = await host.run('tar', ['-tf', tar], { signal, maxOutput: MOST_OF_A_LISTING });
  const isSaved = /^(\.\/)?manifest\.json$/m.test(files);
  const name = basename(path)
    .replace(/\.tar$/, '')
    .toLowerCase();
  const { stdout } = await host.run('docker', isSaved ? ['load', '--input', tar] : ['import', tar, name], {
    signal,
    timeout: 300_000,
  });
  await host.run('rm', [tar]);
  if (!isSaved) return name;
  const [, loaded] = /^Loaded image(?: ID)?: (\S+)$/m.exec(stdout) ?? [];
  if (loaded !== undefined) return loaded;
  throw new LabError('START_FAILED', `docker load named no image of ${path}: ${stdout.trim()}`);
}

async function importBusybox(host: LabHost, signal: AbortSignal): Promise<string> {
  const root = '/run/busybox';
  await host.run('mkdir', ['-p', `${root}/bin`, `${root}/tmp`]);
  await host.run('cp', ['/bin/busybox', `${root}/bin/busybox`]);
  await host.run(`${root}/bin/busybox`, ['--install', `${root}/bin`]);
  await host.run('tar', ['-C', root, '-cf', `${root}.tar`, '.']);
  await host.run('docker', ['import', `${root}.tar`, IMAGE], { signal });
  await host.run('rm', ['-rf', root, `${root}.tar`]);
  return IMAGE;
}

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
