/** The etcd client against real etcd: the contract of every store. */
import { after, before, describe, test } from 'node:test';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import type { StoreFixture } from '../../src/testing/store-contract/case.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { Etcd, needsEtcd } from '../support/etcd.ts';

/** Takes no machine that is busy for a store that is gone. */
const timing = { connect: 15_000, call: 20_000, pingTimeout: 15_000 };

describe('the etcd client is a store', needsEtcd, () => {
  const stack = new AsyncDisposableStack();
  let fixture: StoreFixture;

  before(async () => {
    const etcd = stack.use(await Etcd.start());
    const connect = () => new EtcdStore({ endpoints: [etcd.url], timing });
    fixture = {
      store: stack.use(connect()),
      connect,
      compact: async () => {
        const { revision } = await fixture.store.get('/');
        await etcd.ctl('compact', String(revision));
      },
      pass: () => Promise.resolve(),
    };
  });
  after(() => stack[Symbol.asyncDispose]());

  for (const { name, run } of storeContract) test(name, { timeout: 60_000 }, () => run(fixture));
});
