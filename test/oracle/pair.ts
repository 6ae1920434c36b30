/**
 * Our store and a real etcd side by side, both empty at revision 1. As long as both are asked the same in the same
 * order, every answer must be the same, revisions included.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';

const TULLE = join(import.meta.dirname, '../../bin/tulle');
const START_MS = 20_000;

export interface Member {
  readonly name: 'tulle' | 'etcd';
  readonly address: string;
  readonly client: Client;
}

export interface Pair extends AsyncDisposable {
  readonly tulle: Member;
  readonly etcd: Member;
}

/** The reason why there can be no comparison on this machine, or undefined. */
export function missingEtcd(): string | undefined {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'pipe' });
    return undefined;
  } catch {
    return 'etcd is not installed';
  }
}

/** Starts both; memory is disk enough here, durability is tested elsewhere. */
export async function startPair(): Promise<Pair> {
  const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const dir = mkdtempSync(join(root, 'tt-oracle-'));
  const children: ChildProcess[] = [];
  const clients: Client[] = [];
  const dispose = async () => {
    for (const client of clients) client.close();
    await Promise.all(children.map(stop));
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const [ours, theirs, peer] = await Promise.all([freePort(), freePort(), freePort()]);
    const url = (port: number) => `http://127.0.0.1:${port}`;
    children.push(
      spawn(TULLE, ['store', '--data-dir', join(dir, 'tulle'), '--listen-client-urls', url(ours)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
      spawn(
        'etcd',
        [
          ['--data-dir', join(dir, 'etcd')],
          ['--listen-client-urls', url(theirs), '--advertise-client-urls', url(theirs)],
          ['--listen-peer-urls', url(peer), '--initial-advertise-peer-urls', url(peer)],
          ['--initial-cluster', `default=${url(peer)}`, '--bcrypt-cost', '4', '--log-level', 'fatal'],
        ].flat(),
        { stdio: ['ignore', 'ignore', 'ignore'] },
      ),
    );
    const member = async (name: Member['name'], port: number): Promise<Member> => {
      const address = `127.0.0.1:${port}`;
      await healthy(`http://${address}/health`);
      const client = new Client(address, credentials.createInsecure());
      clients.push(client);
      return { name, address, client };
    };
    const [tulle, etcd] = await Promise.all([member('tulle', ours), member('etcd', theirs)]);
    return { tulle, etcd, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function healthy(url: string): Promise<void> {
  for (const deadline = Date.now() + START_MS; ; await sleep(50)) {
    try {
      const response = await fetch(url);
      if (((await response.json()) as { health?: string }).health === 'true') return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new TypeError('no port');
  return address.port;
}
