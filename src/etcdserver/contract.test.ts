/** Our server, through our etcd client, does what every store must do. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { EtcdStore } from '../store/etcd/etcd-store.ts';
import { KV } from '../store/wire/generated/kv_pb.ts';
import { callUnary } from '../store/wire/service.ts';
import { storeContract } from '../testing/store-contract.ts';
import { storeOptions } from '../testing/store-options.ts';
import { StoreServer } from './store-server.ts';

/** Takes no machine that is busy for a store that is gone. */
const timing = { connect: 15_000, call: 20_000, pingTimeout: 15_000 };

describe('the contract of every store', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tt-store-'));
  let server: StoreServer;
  let endpoint: string;

  before(async () => {
    server = await StoreServer.start({ ...storeOptions(dir), advertise: [] });
    endpoint = `127.0.0.1:${server.ports[0]}`;
  });

  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  const compact = async () => {
    const client = new Client(endpoint, credentials.createInsecure());
    try {
      await callUnary(client, KV.method.compact, { revision: server.revision }, new Metadata());
    } finally {
      client.close();
    }
  };

  for (const { name, run } of storeContract) {
    test(name, async () => {
      const connect = () => new EtcdStore({ endpoints: [`http://${endpoint}`], timing });
      await using store = connect();
      await run({ store, connect, compact, pass: () => Promise.resolve() });
    });
  }

  test('the status is that of a single healthy member', async () => {
    await using store = new EtcdStore({ endpoints: [`http://${endpoint}`], timing });
    const status = await store.status();
    assert.equal(status.leaderless, false);
    assert.deepEqual(status.alarms, []);
    assert.equal(status.revision, server.revision);
  });
});
