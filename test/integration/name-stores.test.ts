/** Names of containers on real etcd and on `tulle store`: the cases that the store in memory passes too. */
import { test } from 'node:test';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { Etcd, needsEtcd } from '../support/etcd.ts';
import { nameCases } from '../support/name-cases.ts';
import type { StoreServer } from '../support/store-server.ts';
import { TulleStore } from '../support/tulle-store.ts';

/** Tries again at once, and takes no machine that is busy for a store that is gone. */
const timing = { connect: 5_000, retryFirst: 20, retryCap: 200 };

const SERVERS = {
  etcd: { start: () => Etcd.start(), needs: needsEtcd },
  'tulle store': { start: () => TulleStore.start(), needs: {} },
} as const satisfies Record<string, { start: () => Promise<StoreServer>; needs: object }>;

for (const [kind, { start, needs }] of Object.entries(SERVERS)) {
  test(`names on ${kind}`, { ...needs, timeout: 120_000 }, async t => {
    await using server = await start();
    for (const { name, run } of nameCases) {
      await t.test(name, async () => {
        await run(() => new EtcdStore({ endpoints: [server.url], timing }));
        // The next one begins with an empty store.
        await server.ctl('del', '--prefix', '/');
      });
    }
  });
}
