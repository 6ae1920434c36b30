/** What a restart of dockerd does to this host, and the restart itself. */
import { parallel } from '../../base/parallel.ts';
import { CommandError } from '../../console/errors.ts';
import { DockerApi, DockerError } from '../../docker/docker-api.ts';
import { DOCKER_UNIT, hasSystemd, type RunForDocker } from './dockerd.ts';

/** What is known of the dockerd that runs. */
export interface RunningDocker {
  /** Containers go on while dockerd is away. */
  readonly liveRestore: boolean;
  /** Names of the containers that run, sorted. */
  readonly containers: readonly string[];
  /** Those of them that dockerd starts again by itself. */
  readonly restarted: readonly string[];
}

/** undefined when no dockerd answers. */
export async function askDocker(api: DockerApi, liveRestore: boolean): Promise<RunningDocker | undefined> {
  try {
    const running = await api.containers();
    const signal = AbortSignal.timeout(PATIENCE);
    const named = await parallel(running, { limit: 4, signal }, async ({ Id }) => {
      const { Name, HostConfig } = await api.container(Id);
      return { name: Name.replace(/^\//, ''), policy: HostConfig?.RestartPolicy?.Name ?? '' };
    });
    const names = (list: typeof named) => list.map(({ name }) => name).sort();
    return {
      liveRestore,
      containers: names(named),
      restarted: names(named.filter(({ policy }) => policy === 'always' || policy === 'unless-stopped')),
    };
  } catch (error) {
    if (error instanceof DockerError) return undefined;
    throw error;
  }
}

/** Milliseconds for all that dockerd is asked. */
const PATIENCE = 30_000;
/** Names in a sentence. */
const MOST_NAMES = 8;

/** Sentences about what a restart does; none when there is nothing to tell. */
export function consequences(docker: RunningDocker | undefined): string[] {
  if (docker === undefined) return ['no dockerd answers: the changes count from its next start'];
  const { liveRestore, containers, restarted } = docker;
  if (containers.length === 0) return ['the changes count from the next start of dockerd; no container runs'];
  if (liveRestore) {
    return [
      'dockerd has live-restore: containers go on while it restarts, and as long as one runs it leaves its bridge as it is',
      `so stop these first, or nothing changes: ${listed(containers)}`,
    ];
  }
  const ended = containers.filter(name => !restarted.includes(name));
  return [
    `the changes count from the next start of dockerd, and a restart stops all containers: ${listed(containers)}`,
    ...(restarted.length === 0 ? [] : [`dockerd starts these again: ${listed(restarted)}`]),
    ...(ended.length === 0 ? [] : [`these stay stopped (docker start): ${listed(ended)}`]),
  ];
}

function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  return `${names.slice(0, MOST_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Before anything is written. @throws CommandError NOT_NOW */
export function requireServiceManager(): void {
  if (hasSystemd()) return;
  throw new CommandError(
    'NOT_NOW',
    'this machine does not run systemd, so that nothing here knows how dockerd is started',
    'restart it as you have started it; on a host of a lab: tulle lab docker restart',
  );
}

/**
 * Restarts dockerd. One that does not start gets its former file back, and is started with that.
 *
 * @param restore puts the former file back
 * @throws CommandError FAILED
 */
export async function restartDocker(runProgram: RunForDocker, restore: () => Promise<void>): Promise<void> {
  try {
    await runProgram('systemctl', ['restart', DOCKER_UNIT]);
  } catch (cause) {
    await restore();
    // systemd counts the starts that failed, and would refuse one more.
    await runProgram('systemctl', ['reset-failed', DOCKER_UNIT]);
    await runProgram('systemctl', ['start', DOCKER_UNIT]);
    throw new CommandError(
      'FAILED',
      'dockerd does not start with the new daemon.json; it has its former one again, and runs',
      `journalctl -u ${DOCKER_UNIT} -n 20 shows why`,
      cause,
    );
  }
}
