/**
 * What names must do on every store, as cases that a test runs against a store of its own choice:
 *
 *     for (const { name, run } of nameCases) test(name, () => run(() => new MemoryStore(database)));
 *
 * `connect` gives another connection to one empty store.
 */
import assert from 'node:assert/strict';
import type { KeyValue, Store } from '../../src/store/store.ts';
import { deadline, eventually, within } from './eventually.ts';
import { NameHostFixture, nameKeys } from './names.ts';

export interface NameCase {
  readonly name: string;
  readonly run: (connect: () => Store) => Promise<void>;
}

/** What a key has that was made again: that it is missing meanwhile may be over before anybody looks. */
function madeAfter(store: Store, key: string, before: KeyValue | undefined): Promise<KeyValue> {
  return eventually(`${key} is made again`, async () => {
    const { kv } = await store.get(key);
    return kv !== undefined && kv.createRevision > (before?.createRevision ?? 0n) && kv;
  });
}

export const nameCases: readonly NameCase[] = [
  {
    name: 'names of a host are known to another one as they come, change and go',
    async run(connect) {
      await using one = new NameHostFixture(1, connect());
      await using two = new NameHostFixture(2, connect());
      one.state('blue 10.9.1.2 Web api', 'blue fd00::2 web');
      two.state('blue 10.9.2.2 api');
      await two.until('blue', 'api', '10.9.1.2', '10.9.2.2');
      await two.until('blue', 'web', '10.9.1.2', 'fd00::2');
      one.state('blue 10.9.1.2 api', 'default 10.5.1.2 web');
      await two.until('blue', 'web');
      await two.until('default', 'web', '10.5.1.2');
      await within('the names are taken back', one.publisher.withdraw());
      await two.until('blue', 'api', '10.9.2.2');
    },
  },
  {
    name: 'an agent that is started again takes up what the one before has published',
    async run(connect) {
      await using two = new NameHostFixture(2, connect());
      {
        await using one = new NameHostFixture(1, connect());
        one.state('blue 10.9.1.2 web', 'blue 10.9.1.3 db');
        await two.until('blue', 'db', '10.9.1.3');
      }
      const before = await two.store.get(`${nameKeys.directory}blue/10.9.1.2`);
      await using again = new NameHostFixture(1, connect());
      again.state('blue 10.9.1.2 web');
      await two.until('blue', 'db');
      const after = await two.store.get(`${nameKeys.directory}blue/10.9.1.2`);
      assert.deepEqual(after.kv, before.kv, 'it was not written again');
    },
  },
  {
    name: 'a lease that is lost and a key that is deleted are repaired',
    async run(connect) {
      await using one = new NameHostFixture(1, connect());
      await using two = new NameHostFixture(2, connect());
      one.state('blue 10.9.1.2 web');
      await two.until('blue', 'web', '10.9.1.2');
      const key = `${nameKeys.directory}blue/10.9.1.2`;
      const { kv } = await two.store.get(key);
      await two.store.revoke(kv?.lease ?? 0n);
      const repaired = await madeAfter(two.store, key, kv);
      await two.until('blue', 'web', '10.9.1.2');
      await two.store.delete(key);
      await madeAfter(two.store, key, repaired);
      await two.until('blue', 'web', '10.9.1.2');
    },
  },
  {
    name: 'names of another host stay, and those for the same address follow them',
    async run(connect) {
      await using one = new NameHostFixture(1, connect());
      await using two = new NameHostFixture(2, connect());
      one.state('blue 10.9.1.2 web');
      await two.until('blue', 'web', '10.9.1.2');
      two.state('blue 10.9.1.2 thief');
      await two.publisher.state.until(
        ({ conflicts }) => conflicts.length > 0,
        deadline('the conflict is told'),
      );
      assert.deepEqual(one.lookup('blue', 'thief'), []);
      one.state();
      await one.until('blue', 'thief', '10.9.1.2');
    },
  },
  {
    name: 'five hundred names are published in batches, and taken back',
    async run(connect) {
      await using one = new NameHostFixture(1, connect());
      await using two = new NameHostFixture(2, connect());
      const { revision } = await two.store.list('/none');
      one.state(...Array.from({ length: 500 }, (_, at) => `blue 10.9.${at >> 8}.${at & 255} c${at} all`));
      await two.watch.version.until(
        () => two.lookup('blue', 'all').length === 500,
        deadline('all are known'),
      );
      const { revision: after } = await two.store.list('/none');
      assert.ok(after - revision < 50n, `${after - revision} writes`);
      one.state();
      await two.watch.version.until(() => !two.watch.hasNetwork('blue'), deadline('none is known'));
    },
  },
];
