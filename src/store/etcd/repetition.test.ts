/** What is asked again by itself when an answer is lost: only what may be done twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { Store } from '../store.ts';
import { KV } from '../wire/generated/kv_pb.ts';
import { Lease } from '../wire/generated/lease_pb.ts';
import { definitionOf } from '../wire/service.ts';
import { EtcdStore } from './etcd-store.ts';

/** How often a server is asked that never says what it has done. */
async function timesAsked(ask: (store: Store) => Promise<unknown>): Promise<number> {
  let asked = 0;
  const loseAnswer = (_call: unknown, done: (error: object) => void) => {
    asked++;
    done({ code: status.UNAVAILABLE, details: 'etcdserver: request timed out' });
  };
  const server = new Server();
  for (const definition of [definitionOf(KV), definitionOf(Lease)]) {
    const unary = Object.entries(definition).filter(([, { requestStream }]) => !requestStream);
    server.addService(definition, Object.fromEntries(unary.map(([name]) => [name, loseAnswer])));
  }
  try {
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    await using store = new EtcdStore({ endpoints: [`http://127.0.0.1:${port}`] });
    await assert.rejects(ask(store), { code: 'UNAVAILABLE' });
    return asked;
  } finally {
    server.forceShutdown();
  }
}

const value = Uint8Array.of(1);

for (const [name, ask] of [
  ['a put', store => store.put('/a', value)],
  ['a delete', store => store.delete('/a')],
  [
    'a transaction that may write',
    store =>
      store.transact({
        compare: [],
        success: [{ op: 'get', key: '/a' }],
        failure: [{ op: 'delete', key: '/a' }],
      }),
  ],
] as const satisfies readonly (readonly [string, (store: Store) => Promise<unknown>])[]) {
  test(`${name} is not: it may have been done`, async () => {
    assert.equal(await timesAsked(ask), 1);
  });
}

for (const [name, ask] of [
  ['a get', store => store.get('/a')],
  ['a list', store => store.list('/a')],
  [
    'a transaction that only reads',
    store => store.transact({ compare: [], success: [{ op: 'get', key: '/a' }] }),
  ],
  ['a grant', store => store.grant(60)],
  ['a revocation', store => store.revoke(7n)],
] as const satisfies readonly (readonly [string, (store: Store) => Promise<unknown>])[]) {
  test(`${name} is`, async () => {
    assert.equal(await timesAsked(ask), 2);
  });
}
