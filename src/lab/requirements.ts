/** What a machine must have before a lab can be made; asked first, so that nothing is half made. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { requireRoot } from '../console/require-root.ts';
import { LabError } from './errors.ts';

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

/** @throws CommandError FORBIDDEN */
export function requireRootForLab(): void {
  requireRoot('a lab makes and enters namespaces');
}

/** @throws CommandError FORBIDDEN; LabError MISSING_PROGRAM with everything that is missing. */
export function requireCapabilities(wants: { readonly docker?: boolean; readonly etcd?: boolean }): void {
  requireRootForLab();
  const wanted = {
    ...PROGRAMS,
    ...(wants.etcd === true ? ETCD_PROGRAMS : {}),
    ...(wants.docker === true ? DOCKER_PROGRAMS : {}),
  };
  requirePrograms(wanted);
}

/** @param wanted program -> the Debian package that has it. @throws LabError MISSING_PROGRAM with all that are missing. */
export function requirePrograms(wanted: Readonly<Record<string, string>>): void {
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
