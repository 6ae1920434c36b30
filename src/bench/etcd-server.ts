/** A real etcd for a measurement: alone, on loopback, in a directory of its own, gone afterwards. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Undo } from '../base/undo.ts';
import { freePorts } from '../sys/free-ports.ts';
import { start } from '../sys/process.ts';
import { waitForFile } from '../sys/wait-file.ts';

/** Milliseconds that etcd may take until it serves. */
const PATIENCE = 20_000;

/** Runs `body` with the endpoint of a fresh etcd. @throws SysError ENOENT when etcd is not installed. */
export async function withEtcd<T>(signal: AbortSignal, body: (endpoint: string) => Promise<T>): Promise<T> {
  await using undo = new Undo();
  const directory = await mkdtemp(join(tmpdir(), 'tulle-bench-'));
  undo.push('remove the directory of etcd', () => rm(directory, { recursive: true }));
  const [clients = 0, peers = 0] = await freePorts(2);
  const endpoint = `http://127.0.0.1:${clients}`;
  const peerUrl = `http://127.0.0.1:${peers}`;
  const logFile = join(directory, 'log');
  const etcd = await start(
    'etcd',
    [
      '--name=bench',
      `--data-dir=${join(directory, 'data')}`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=bench=${peerUrl}`,
    ],
    { logFile },
  );
  undo.push('end etcd', async () => {
    etcd.kill('SIGKILL');
    await etcd.exited;
  });
  const given = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
  await waitForFile(logFile, given, log => log.includes('ready to serve client requests'));
  return await body(endpoint);
}
