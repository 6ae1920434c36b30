/**
 * The socket of the plugin over time. Passed by a service manager it is always there. Otherwise it is made under another
 * name and put in place in one step, and made again when it is gone: /run/docker may be removed and made anew.
 */
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { aborted } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { PassedSocket } from '../../sys/socket-activation.ts';
import { inodeOf, isListening, listenAt } from '../../sys/unix-listener.ts';
import { untilInDirectory } from '../../sys/wait-directory.ts';
import { DockerPluginError } from './plugin-errors.ts';
import { PluginServer, type PluginServerParts } from './plugin-server.ts';

export interface PluginSocketParts extends PluginServerParts {
  /** Where Docker looks for it. */
  readonly path: string;
  /** Only where Docker's own directory is: nothing is made on a host without Docker. */
  readonly whenDockerIs: boolean;
  readonly passed: PassedSocket | undefined;
  readonly clock: Clock;
  /** Whether it listens; a reason why it cannot. */
  readonly onState: (listening: boolean, failure?: string) => void;
}

/** Milliseconds until a socket that was removed is made again: whoever removes it goes on for a moment. */
const REST = 100;
const RETRY = { first: 1000, cap: 30_000 };

/** Serves until `signal` aborts, and removes a socket that it made. */
export async function servePlugin(parts: PluginSocketParts, signal: AbortSignal): Promise<void> {
  const { clock, passed, onState } = parts;
  let delays = backoff(RETRY.first, RETRY.cap);
  while (!signal.aborted) {
    try {
      if (passed !== undefined) await servePassed(passed, parts, signal);
      else {
        await untilWanted(parts, signal);
        if (!signal.aborted) await serveOwn(parts, signal);
      }
      delays = backoff(RETRY.first, RETRY.cap);
    } catch (error) {
      onState(false, messageOf(error));
      await clock.sleep(delays.next().value, signal).catch(() => undefined);
      continue;
    }
    await clock.sleep(REST, signal).catch(() => undefined);
  }
}

/** Docker makes /run/docker, and we plugins/ in it. */
async function untilWanted(
  { path, whenDockerIs, clock, onState }: PluginSocketParts,
  signal: AbortSignal,
): Promise<void> {
  const docker = dirname(dirname(path));
  const isThere = () => inodeOf(docker) !== undefined;
  if (!whenDockerIs || isThere()) return;
  onState(false);
  await untilInDirectory(dirname(docker), isThere, clock, signal);
}

async function servePassed(
  { fd }: PassedSocket,
  parts: PluginSocketParts,
  signal: AbortSignal,
): Promise<void> {
  await using _server = await PluginServer.listen({ fd }, parts);
  parts.onState(true);
  await aborted(signal);
}

async function serveOwn(parts: PluginSocketParts, signal: AbortSignal): Promise<void> {
  const { path, clock, onState } = parts;
  if (await isListening(path)) {
    throw new DockerPluginError('CANNOT_SERVE', `another process answers at ${path}`);
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const fd = listenAt(temporary);
  await using _server = await PluginServer.listen({ fd }, parts);
  await rename(temporary, path);
  const own = inodeOf(path);
  onState(true);
  await untilInDirectory(dirname(path), () => inodeOf(path) !== own, clock, signal);
  if (signal.aborted && inodeOf(path) === own) await rm(path, { force: true });
}
