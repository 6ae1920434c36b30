/**
 * The socket of the plugin over time. Passed by a service manager it is always there. Otherwise it is made under another
 * name and put in place in one step, and made again when it is gone: /run/docker may be removed and made anew.
 */
import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { aborted } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { PassedSocket } from '../../sys/socket-activation.ts';
import { isListening, listenAt } from '../../sys/unix-listener.ts';
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

/** Milliseconds between two looks at the socket; it is there unless somebody removes what is of others. */
const LOOK = 5000;
const RETRY = { first: 1000, cap: 30_000 };

/** Serves until `signal` aborts, and removes a socket that it made. */
export async function servePlugin(parts: PluginSocketParts, signal: AbortSignal): Promise<void> {
  const { clock, passed, onState } = parts;
  let delays = backoff(RETRY.first, RETRY.cap);
  while (!signal.aborted) {
    try {
      if (passed !== undefined) await servePassed(passed, parts, signal);
      else if (await isWanted(parts)) await serveOwn(parts, signal);
      else onState(false);
      delays = backoff(RETRY.first, RETRY.cap);
    } catch (error) {
      onState(false, messageOf(error));
      await clock.sleep(delays.next().value, signal).catch(() => undefined);
      continue;
    }
    await clock.sleep(LOOK, signal).catch(() => undefined);
  }
}

/** Docker makes /run/docker, and we plugins/ in it. */
const isWanted = async ({ path, whenDockerIs }: PluginSocketParts) =>
  !whenDockerIs || (await isThere(dirname(dirname(path))));

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
  const own = await inodeOf(path);
  onState(true);
  while (!signal.aborted && own !== undefined && (await inodeOf(path)) === own) {
    await clock.sleep(LOOK, signal).catch(() => undefined);
  }
  if (signal.aborted && (await inodeOf(path)) === own) await rm(path, { force: true });
}

async function inodeOf(path: string): Promise<number | undefined> {
  const found = await lstat(path).catch(() => undefined);
  return found?.ino;
}

const isThere = async (path: string) => (await inodeOf(path)) !== undefined;
