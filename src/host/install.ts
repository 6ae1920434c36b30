/** Installs the daemons as systemd services, and removes them. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError } from '../console/errors.ts';
import { writeFileAtomic } from '../sys/file.ts';
import type { run } from '../sys/process.ts';
import { type Daemon, environmentFile, UNITS, type UnitOptions } from './units.ts';

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
  await systemd.run('systemctl', ['daemon-reload']);
  await systemd.run('systemctl', ['enable', file]);
  // Without waiting: the agent is ready only once the store has answered.
  await systemd.run('systemctl', ['restart', '--no-block', file]);
  return path;
}

/** The unit as it would be installed. @throws CommandError for a flag that holds a secret */
export function unitText(daemon: Daemon, options: UnitOptions): string {
  refuseSecrets(daemon, options.flags);
  return UNITS[daemon].text(options);
}

/** Stops the daemons and removes their units; returns those that were there. */
export async function uninstall(systemd: Systemd): Promise<string[]> {
  const removed: string[] = [];
  for (const { file } of Object.values(UNITS)) {
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
