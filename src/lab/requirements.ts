/** What a machine must have before a lab can be made; asked first, so that nothing is half made. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ConfigError, type Problem } from '../base/errors.ts';
import { requireRoot } from '../console/require-root.ts';
import { run } from '../sys/process.ts';
import { LabError } from './errors.ts';
import type { LabPlan } from './topology/plan.ts';

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

const LOSS_PROGRAMS: Record<string, string> = { nft: 'nftables' };
const DELAY_PROGRAMS: Record<string, string> = { tc: 'iproute2' };

/**
 * Whether this machine can have such a lab.
 *
 * @throws CommandError FORBIDDEN; LabError MISSING_PROGRAM with everything that is missing; ConfigError with what the
 * kernel or the file system does not have.
 */
export async function requireForPlan({ segments, hosts, store }: LabPlan): Promise<void> {
  requireCapabilities({
    docker: hosts.some(({ docker }) => docker !== undefined),
    etcd: store?.kind === 'etcd',
    loss: segments.some(({ loss }) => loss !== undefined),
    delay: segments.some(({ delay }) => delay !== undefined),
  });
  const problems: Problem[] = [];
  const delayed = segments.filter(({ delay }) => delay !== undefined);
  if (delayed.length > 0 && !(await hasNetem())) {
    for (const { name, delay } of delayed) {
      problems.push({
        path: `segments.${name}.delay`,
        value: delay,
        message: 'this kernel cannot delay frames: it has no netem',
        hint: 'omit it, or boot a kernel with CONFIG_NET_SCH_NETEM',
      });
    }
  }
  for (const { name, agent, docker } of hosts) {
    const files = { 'docker.image': docker?.image, 'agent.flanneld': agent?.flanneld };
    for (const [member, path] of Object.entries(files)) {
      if (path === undefined || isReadable(path)) continue;
      problems.push({ path: `hosts.${name}.${member}`, value: path, message: 'there is no such file' });
    }
  }
  if (problems.length > 0) throw new ConfigError('topology', problems);
}

/** Asked with a discipline on the loopback of a namespace that ends with the question. */
async function hasNetem(): Promise<boolean> {
  const question = ['tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms'];
  const { status } = await run('unshare', ['--net', '--', ...question], { anyStatus: true, timeout: 10_000 });
  return status === 0;
}

interface Wants {
  readonly docker?: boolean;
  readonly etcd?: boolean;
  readonly loss?: boolean;
  readonly delay?: boolean;
}

/** @throws CommandError FORBIDDEN; LabError MISSING_PROGRAM with everything that is missing. */
export function requireCapabilities(wants: Wants): void {
  requireRootForLab();
  const wanted = {
    ...PROGRAMS,
    ...(wants.etcd === true ? ETCD_PROGRAMS : {}),
    ...(wants.docker === true ? DOCKER_PROGRAMS : {}),
    ...(wants.loss === true ? LOSS_PROGRAMS : {}),
    ...(wants.delay === true ? DELAY_PROGRAMS : {}),
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

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
