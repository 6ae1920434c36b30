import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { within } from '../../../test/support/eventually.ts';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { Watch, type WatchResponse } from '../../store/wire/generated/watch_pb.ts';
import { callUnary, openStream } from '../../store/wire/service.ts';
import { storeOptions } from '../../testing/store-options.ts';
import { StoreServer } from '../store-server.ts';

/** More than a connection may have at first, and than Node's client would open without an answer. */
const WATCHES = 300;
const KEY = Buffer.from('key');

test('a client has hundreds of watches over one connection, each a stream of its own', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tt-watches-'));
  await using server = await StoreServer.start(storeOptions(dataDir));
  const client = new Client(`127.0.0.1:${server.ports[0]}`, credentials.createInsecure());
  try {
    const reached = Array.from({ length: WATCHES }, () => {
      const [created, event] = [Promise.withResolvers<void>(), Promise.withResolvers<bigint | undefined>()];
      const watch = openStream(client, Watch.method.watch, new Metadata());
      watch.on('error', () => undefined);
      watch.on('data', (answer: WatchResponse) => {
        if (answer.created) created.resolve();
        else event.resolve(answer.events[0]?.kv?.modRevision);
      });
      watch.write({ requestUnion: { case: 'createRequest', value: { key: KEY } } });
      return { created: created.promise, event: event.promise };
    });
    await within('all watches are made', Promise.all(reached.map(({ created }) => created)));
    const { header } = await within(
      'a put finds a free stream',
      callUnary(client, KV.method.put, { key: KEY, value: KEY }, new Metadata()),
    );
    const events = await within('all watches see it', Promise.all(reached.map(({ event }) => event)));
    assert.deepEqual(new Set(events), new Set([header?.revision]));
  } finally {
    client.close();
    rmSync(dataDir, { recursive: true });
  }
});
