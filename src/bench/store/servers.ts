/** A real etcd, or our own store, for a measurement: alone, on loopback, in a directory of its own, gone afterwards. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Undo } from '../../base/undo.ts';
import { requirePrograms } from '../../lab/requirements.ts';
import { freePorts } from '../../sys/free-ports.ts';
import { start } from '../../sys/process.ts';
import { waitForFile } from '../../sys/wait-file.ts';

export interface ServerUnderTest {
  readonly endpoint: string;
  readonly port: number;
  readonly pid: number;
}

/** Milliseconds that a server may take until it serves. */
const PATIENCE = 20_000;
const TULLE = fileURLToPath(new URL('../../../bin/tulle', import.meta.url));

/** Runs `body` with a fresh etcd. @throws LabError MISSING_PROGRAM; Error when it does not start. */
export async function withEtcd<T>(
  signal: AbortSignal,
  body: (server: ServerUnderTest) => Promise<T>,
): Promise<T> {
  requirePrograms({ etcd: 'etcd-server' });
  const [peers = 0] = await freePorts(1);
  const peerUrl = `http://127.0.0.1:${peers}`;
  const args = (directory: string, endpoint: string) => [
    '--name=bench',
    `--data-dir=${join(directory, 'data')}`,
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=bench=${peerUrl}`,
  ];
  return withServer('etcd', args, 'ready to serve client requests', signal, body);
}

/** Runs `body` with a fresh `tulle store`. */
export async function withTulleStore<T>(
  signal: AbortSignal,
  body: (server: ServerUnderTest) => Promise<T>,
): Promise<T> {
  const args = (directory: string, endpoint: string) => [
    'store',
    `--data-dir=${join(directory, 'data')}`,
    `--listen-client-urls=${endpoint}`,
  ];
  return withServer(TULLE, args, '"msg":"serving"', signal, body);
}

async function withServer<T>(
  program: string,
  args: (directory: string, endpoint: string) => readonly string[],
  ready: string,
  signal: AbortSignal,
  body: (server: ServerUnderTest) => Promise<T>,
): Promise<T> {
  requirePrograms({ setpriv: 'util-linux' });
  await using undo = new Undo();
  const directory = await mkdtemp(join(tmpdir(), 'tulle-bench-'));
  undo.push('remove the directory of the server', () => rm(directory, { recursive: true }));
  const [port = 0] = await freePorts(1);
  const endpoint = `http://127.0.0.1:${port}`;
  const logFile = join(directory, 'log');
  // It ends with us, however we end.
  const server = await start('setpriv', ['--pdeathsig=KILL', program, ...args(directory, endpoint)], {
    logFile,
  });
  undo.push('end the server', async () => {
    server.kill('SIGKILL');
    await server.exited;
  });
  const ended = new AbortController();
  void server.exited.then(() => ended.abort(new Error(`${program} ended: ${lastLine(logFile)}`)));
  const given = AbortSignal.any([signal, ended.signal, AbortSignal.timeout(PATIENCE)]);
  await waitForFile(logFile, given, log => log.includes(ready));
  return await body({ endpoint, port, pid: server.pid });
}

function lastLine(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}
