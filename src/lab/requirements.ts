/** What a machine must have before a lab can be made; asked first, so that nothing is half made. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { LabError } from './errors.ts';
import type { LabRequest } from './plan.ts';

/** Program -> the Debian package that has it. */
const PROGRAMS: Record<string, string> = {
  ip: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'mount',
  hostname: 'hostname',
  ping: 'iputils-ping',
};

const ETCD_PROGRAMS: Record<string, string> = { etcd: 'etcd-server' };

const DOCKER_PROGRAMS: Record<string, string> = {
  dockerd: 'docker.io',
  docker: 'docker.io',
  busybox: 'busybox-static',
};

/** @throws LabError FORBIDDEN */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new LabError('FORBIDDEN', 'a lab is made of namespaces, which only root can make and enter', {
    hint: 'run the command with sudo',
  });
}

/** @throws LabError FORBIDDEN, or MISSING_PROGRAM with everything that is missing. */
export function requireCapabilities({ runtime, store }: Pick<LabRequest, 'runtime' | 'store'>): void {
  requireRoot();
  const wanted = {
    ...PROGRAMS,
    ...(store === 'etcd' ? ETCD_PROGRAMS : {}),
    ...(runtime === 'docker' ? DOCKER_PROGRAMS : {}),
  };
  const missing = Object.entries(wanted).filter(([program]) => !isInstalled(program));
  if (missing.length > 0) {
    const packages = [...new Set(missing.map(([, name]) => name))];
    throw new LabError(
      'MISSING_PROGRAM',
      `not installed: ${missing.map(([program]) => program).join(', ')}`,
      {
        hint: `on Debian: apt-get install ${packages.join(' ')}`,
      },
    );
  }
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some(directory => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
