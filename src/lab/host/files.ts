/**
 * The files of a host. Its disk, /etc and /var/lib, outlives it: it is part of a file system in memory that the fabric
 * mounts before there are hosts. /run is new with every boot. All else is the machine's.
 */
import { randomUUID } from 'node:crypto';
import type { ProcessId } from '../../sys/pidfd.ts';
import { run } from '../../sys/process.ts';
import { namespacesOf } from './anchor.ts';
import { type LabHost, LOG_DIRECTORY, PROJECT } from './host.ts';

/** Where the disks are: a directory of every machine that this program does not lie in. */
const DISKS = PROJECT.startsWith('/var/lib/') ? '/run' : '/var/lib';

const mount = (type: string, at: string, options = 'mode=0755') => [
  '-t',
  type,
  '-o',
  options,
  'tulle-lab',
  at,
];

/** Makes the file system of the disks in the mount namespace of this anchor. */
export async function makeDisks(anchor: ProcessId): Promise<void> {
  await run('mount', mount('tmpfs', DISKS), { namespaces: { mount: namespacesOf(anchor).mount } });
}

/**
 * Turns fresh namespaces below a file system of disks into a host: state directories and configuration of its own, its
 * host name. Nothing that runs in it writes to a file of the machine.
 *
 * @param hostsFile the /etc/hosts of a new host; absent when it boots again, and has all its files.
 */
export async function prepareHost(host: LabHost, hostsFile?: string): Promise<void> {
  const disk = `${DISKS}/${host.name}`;
  const [etc, work, varLib] = [`${disk}/etc`, `${disk}/etc-work`, `${disk}/var-lib`];
  await host.run('mkdir', ['-p', etc, work, varLib]);
  await host.run('mount', mount('overlay', '/etc', `lowerdir=/etc,upperdir=${etc},workdir=${work}`));

  // The program itself may lie in one of the directories that are about to be covered.
  const isHidden = ['/run', '/var/lib'].some(directory => PROJECT.startsWith(`${directory}/`));
  const shelter = '/mnt';
  if (isHidden) await host.run('mount', ['--bind', PROJECT, shelter]);
  await host.run('mount', ['--bind', varLib, '/var/lib']);
  await host.run('mount', mount('tmpfs', '/run'));
  if (isHidden) {
    await host.run('mkdir', ['-p', PROJECT]);
    await host.run('mount', ['--move', shelter, PROJECT]);
  }
  await host.run('mkdir', ['-p', LOG_DIRECTORY, '/run/flannel', '/run/tulle', '/run/lock']);
  if (hostsFile !== undefined) await writeOwnFiles(host, hostsFile);
  await host.run('hostname', [host.name]);
}

async function writeOwnFiles(host: LabHost, hostsFile: string): Promise<void> {
  // How the machine's own dockerd is configured, and its key, are none of the lab's.
  await host.run('rm', ['-rf', '/etc/docker']);
  for (const [name, text] of Object.entries(ownFiles(host.name, hostsFile))) {
    const path = `/etc/${name}`;
    // It may be a link to a file that only the machine has.
    await host.run('rm', ['-f', path]);
    await host.run('tee', [path], { input: text });
  }
}

/** Files below /etc that say which host this is, or would name the machine's own surroundings. */
const ownFiles = (name: string, hosts: string): Readonly<Record<string, string>> => ({
  hosts,
  hostname: `${name}\n`,
  'machine-id': `${randomUUID().replaceAll('-', '')}\n`,
  'resolv.conf': '# A host of a lab reaches no name server; /etc/hosts has the names of the others.\n',
});
