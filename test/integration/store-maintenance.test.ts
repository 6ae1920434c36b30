/** The ways out of a store, and back: snapshot, restore, export; what happens over a restart. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Etcd, needsEtcd } from '../support/etcd.ts';
import { etcdctl } from '../support/store-server.ts';
import { TulleStore } from '../support/tulle-store.ts';

const run = promisify(execFile);
const TULLE = join(import.meta.dirname, '../../bin/tulle');

const tulle = async (...args: string[]) => (await run(TULLE, ['store', ...args])).stdout;

async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-maintenance-'));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

test('a snapshot of ours and one of etcdctl are both restored', needsEtcd, () =>
  withDirectory(async directory => {
    await using store = await TulleStore.start();
    await store.ctl('put', 'a', '1');
    await store.ctl('put', 'b', '2');
    const [ours, theirs] = [join(directory, 'ours'), join(directory, 'theirs')];
    await tulle('snapshot', ours, `--endpoints=${store.url}`);
    await store.ctl('snapshot', 'save', theirs);
    await store.ctl('put', 'a', 'later');
    await store.stop();
    for (const [index, snapshot] of [ours, theirs].entries()) {
      await using again = await TulleStore.start();
      await again.stop();
      await rm(again.directory, { recursive: true });
      await tulle('restore', snapshot, `--data-dir=${again.directory}`);
      assert.deepEqual(
        await readdir(again.directory),
        ['store.db', 'store.db-ack'],
        `nothing else is left by restore ${index}`,
      );
      await again.restart();
      assert.equal(await again.ctl('get', '', '--prefix', '--print-value-only'), '1\n2\n');
    }
  }),
);

test('everything moves to etcd, leases with the time they have left', needsEtcd, async () => {
  await using store = await TulleStore.start();
  await using etcd = await Etcd.start();
  for (let index = 0; index < 250; index++) {
    // One request each would take long; a transaction takes many.
    if (index % 50 === 0) {
      const puts = Array.from(
        { length: 50 },
        (_, offset) => `put key/${String(index + offset).padStart(3, '0')} v${index + offset}`,
      );
      await txn(store.url, puts);
    }
  }
  const granted = await store.ctl('lease', 'grant', '500');
  const [, lease = ''] = /lease ([0-9a-f]+)/.exec(granted) ?? [];
  await store.ctl('put', `--lease=${lease}`, 'leased', 'x');

  const lines = (await tulle('export', `--endpoints=${store.url}`)).trim().split('\n');
  assert.equal(lines.length, 251);
  assert.deepEqual(JSON.parse(lines[0] ?? ''), {
    key: Buffer.from('key/000').toString('base64'),
    value: Buffer.from('v0').toString('base64'),
  });

  await tulle('export', `--endpoints=${store.url}`, `--to=${etcd.url}`);
  await tulle('export', `--endpoints=${store.url}`, `--to=${etcd.url}`);
  const everything = ['get', '', '--prefix'];
  assert.equal(await etcd.ctl(...everything), await store.ctl(...everything));
  const ttl = await etcd.ctl('lease', 'timetolive', lease, '--keys');
  assert.match(ttl, /granted with TTL\(([34]\d\d|500)s\), remaining\(\d+s\), attached keys\(\[leased\]\)/);
});

async function txn(url: string, puts: readonly string[]): Promise<void> {
  assert.match(await etcdctl(url, ['txn'], { input: `\n${puts.join('\n')}\n\n\n` }), /SUCCESS/);
}

test('keys, leases, users and alarms survive SIGTERM and SIGKILL', needsEtcd, async () => {
  await using store = await TulleStore.start();
  await store.ctl('put', 'k', 'v');
  const [, lease = ''] = /lease ([0-9a-f]+)/.exec(await store.ctl('lease', 'grant', '600')) ?? [];
  await store.ctl('put', `--lease=${lease}`, 'leased', 'x');
  await store.ctl('user', 'add', 'ann:secret');
  const before = await store.ctl('get', '', '--prefix', '-w', 'json');
  for (const end of ['stop', 'kill'] as const) {
    await store[end]();
    await store.restart();
    assert.equal(await store.ctl('get', '', '--prefix', '-w', 'json'), before, `after ${end}`);
    assert.match(await store.ctl('lease', 'timetolive', lease), /remaining\(([45]\d\d|600)s\)/);
    assert.equal(await store.ctl('user', 'list'), 'ann\n');
  }
  await assert.rejects(tulle(`--data-dir=${store.directory}`, '--listen-client-urls=http://127.0.0.1:0'), {
    stderr: /is open in another process/,
  });
});
