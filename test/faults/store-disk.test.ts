/** A store whose disk is full says so, and serves again when there is room; one whose disk fails ends. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../src/store/wire/generated/health_pb.ts';
import { KV } from '../../src/store/wire/generated/kv_pb.ts';
import { callUnary } from '../../src/store/wire/service.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { TulleStore } from '../support/tulle-store.ts';

const DISK = 8 * 1024 * 1024;
const KEY = Buffer.from('k');
const VALUE = Buffer.alloc(100_000, 'x');

test(
  'E5: a full disk is reported as such, and everything goes on when there is room',
  needsRoot,
  async () => {
    await using store = await TulleStore.start({ disk: DISK });
    const client = new Client(`127.0.0.1:${store.port}`, credentials.createInsecure());
    const put = () => callUnary(client, KV.method.put, { key: KEY, value: VALUE }, new Metadata());
    const post = () =>
      fetch(`${store.url}/v3/kv/put`, {
        method: 'POST',
        body: JSON.stringify({ key: KEY.toString('base64'), value: VALUE.toString('base64') }),
      });
    const health = async () => {
      const page = await fetch(`${store.url}/health`);
      const { status } = await callUnary(client, Health.method.check, {}, new Metadata());
      return { http: page.status, text: await page.text(), serving: status === ServingStatus.SERVING };
    };
    try {
      await put();
      assert.deepEqual(await health(), { http: 200, text: '{"health":"true"}', serving: true });

      // The disk as the store sees it.
      const filler = join(`/proc/${store.pid}/root`, store.directory, 'filler');
      assert.throws(() => writeFileSync(filler, Buffer.alloc(DISK)), { code: 'ENOSPC' });
      const fill = async () => {
        for (let more = 0; more < DISK / VALUE.byteLength; more++) await put();
      };
      await assert.rejects(fill(), { code: 14, details: /store\.db cannot be read or written/ });
      const refused = await post();
      assert.equal(refused.status, 503);
      assert.partialDeepStrictEqual(await refused.json(), { code: 14 });
      const full = await health();
      assert.deepEqual([full.http, full.serving], [503, false]);
      assert.match(full.text, /"health":"false".*cannot be read or written.*full/);

      rmSync(filler);
      await eventually(
        'the store finds by itself that there is room',
        async () => (await health()).http === 200,
      );
      await put();
    } finally {
      client.close();
    }
  },
);

/** Makes every fsync of the write-ahead log fail once the process gets SIGUSR2. */
const FAILING_DISK = `
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  import process from 'node:process';
  process.on('SIGUSR2', () => {
    fs.fdatasyncSync = () => { throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }); };
    syncBuiltinESMExports();
  });`;

test('G4: a store whose disk fails ends with a report, and the next one has what was acknowledged', async () => {
  const nodeOptions = `--import=data:text/javascript,${encodeURIComponent(FAILING_DISK)}`;
  await using store = await TulleStore.start({ nodeOptions });
  const client = new Client(`127.0.0.1:${store.port}`, credentials.createInsecure());
  const put = (value: string) =>
    callUnary(client, KV.method.put, { key: KEY, value: Buffer.from(value) }, new Metadata());
  try {
    await put('acknowledged');
    const ended = store.ended();
    process.kill(store.pid, 'SIGUSR2');
    const untilRefused = async () => {
      for (;;) await put('later');
    };
    await assert.rejects(untilRefused(), { code: 14 });
    const { output, status } = await ended;
    assert.equal(status, 1);
    assert.match(output, /tulle: error: the store can no longer write to its disk: .*EIO/);
    assert.match(output, /\nhint: check the health of the disk/);

    await store.restart();
    const { kvs } = await callUnary(client, KV.method.range, { key: KEY }, new Metadata());
    // What was not acknowledged may be there or not.
    assert.match(String(Buffer.from(kvs[0]?.value ?? [])), /^(acknowledged|later)$/);
  } finally {
    client.close();
  }
});
