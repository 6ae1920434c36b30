/** Installs the daemons as systemd services, and removes them. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isCode } from '../base/errors.ts';
import { CommandError } from '../console/errors.ts';
import { writeFileAtomic } from '../sys/file.ts';
import type { run } from '../sys/process.ts';
import {
  type Daemon,
  environmentFile,
  type HostDaemon,
  PLUGIN_SOCKET,
  UNITS,
  type UnitOptions,
} from './units.ts';

export interface Systemd {
  /** Where units of the administrator are kept. */
  readonly directory: string;
  readonly run: (program: string, args: readonly string[]) => ReturnType<typeof run>;
}

/** Writes the unit, and starts the daemon now and at every boot. What runs already is restarted. */
export async function install(systemd: Systemd, daemon: Daemon, options: UnitOptions): Promise<string> {
  const { file } = UNITS[daemon];
  const text = unitText(daemon, options);
  const path = join(systemd.directory, file);
  await writeFileAtomic(path, text);
  if (daemon !== 'store' && existsSync(join(systemd.directory, PLUGIN_SOCKET.file))) {
    // It has been for the other daemon, maybe.
    await installSocket(systemd, daemon);
    await systemd.run('systemctl', ['enable', file]);
    return path;
  }
  await systemd.run('systemctl', ['daemon-reload']);
  await systemd.run('systemctl', ['enable', file]);
  // Without waiting: the agent is ready only once the store has answered.
  await systemd.run('systemctl', ['restart', '--no-block', file]);
  return path;
}

/**
 * Has systemd hold the socket of the Docker plugin, for the daemon that is installed on this host, and restarts that.
 *
 * @throws CommandError when none is installed
 */
export async function installDocker(systemd: Systemd): Promise<string> {
  const daemon = await servingDaemon(systemd);
  if (daemon !== undefined) return await installSocket(systemd, daemon);
  throw new CommandError(
    'NOT_NOW',
    'no daemon of Tulle is installed on this host that could serve Docker',
    'install one first: tulle install up',
  );
}

/** The socket's unit as it would be installed; where no daemon is yet, for that of `tulle install up`. */
export async function socketText(systemd: Systemd): Promise<string> {
  return PLUGIN_SOCKET.text((await servingDaemon(systemd)) ?? 'up');
}

async function installSocket(systemd: Systemd, daemon: HostDaemon): Promise<string> {
  const path = join(systemd.directory, PLUGIN_SOCKET.file);
  await writeFileAtomic(path, PLUGIN_SOCKET.text(daemon));
  const { file } = UNITS[daemon];
  await systemd.run('systemctl', ['daemon-reload']);
  await systemd.run('systemctl', ['enable', PLUGIN_SOCKET.file]);
  // systemd refuses to open a socket whose service runs (socket_start in src/core/socket.c). Packets flow on meanwhile.
  await systemd.run('systemctl', ['stop', PLUGIN_SOCKET.file, ...SERVING.map(each => UNITS[each].file)]);
  await systemd.run('systemctl', ['start', PLUGIN_SOCKET.file]);
  await systemd.run('systemctl', ['start', '--no-block', file]);
  return path;
}

const SERVING: readonly HostDaemon[] = ['up', 'agent'];

/** Of two that are installed the one that runs; undefined when none is installed. */
async function servingDaemon(systemd: Systemd): Promise<HostDaemon | undefined> {
  const installed = SERVING.filter(daemon => existsSync(join(systemd.directory, UNITS[daemon].file)));
  for (const daemon of installed) {
    if (installed.length === 1 || (await isActive(systemd, UNITS[daemon].file))) return daemon;
  }
  return installed[0];
}

async function isActive(systemd: Systemd, file: string): Promise<boolean> {
  try {
    await systemd.run('systemctl', ['is-active', '--quiet', file]);
    return true;
  } catch (error) {
    if (isCode(error, 'EXITED')) return false;
    throw error;
  }
}

/** The unit as it would be installed. @throws CommandError for a flag that holds a secret */
export function unitText(daemon: Daemon, options: UnitOptions): string {
  refuseSecrets(daemon, options.flags);
  return UNITS[daemon].text(options);
}

/** Stops the daemons and removes their units; returns those that were there. */
export async function uninstall(systemd: Systemd): Promise<string[]> {
  const removed: string[] = [];
  // The socket first: it would start its daemon again.
  for (const { file } of [PLUGIN_SOCKET, ...Object.values(UNITS)]) {
    const path = join(systemd.directory, file);
    if (!existsSync(path)) continue;
    await systemd.run('systemctl', ['disable', '--now', file]);
    await rm(path);
    removed.push(path);
  }
  if (removed.length > 0) await systemd.run('systemctl', ['daemon-reload']);
  return removed;
}

/** Every user may read a unit, and `systemctl status` shows it. */
function refuseSecrets(daemon: Daemon, flags: readonly string[]): void {
  const given = (name: RegExp) => flags.some(flag => name.test(flag));
  if (given(/^--?\w[\w-]*password\b/)) {
    throw new CommandError(
      'USAGE',
      'a password must not be on a command line',
      `write TULLE_ETCD_PASSWORD=... into ${environmentFile(daemon)}, mode 0600`,
    );
  }
  if (given(/^--join\b/)) {
    throw new CommandError(
      'USAGE',
      'a token must not be in a unit file',
      'join once with `tulle up --join`, stop it, and install it without the token: it does not need it again',
    );
  }
}
