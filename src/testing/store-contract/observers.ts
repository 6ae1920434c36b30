/** Observation: a snapshot, then every change exactly once and in order. */
import assert from 'node:assert/strict';
import type { StoreCase } from './case.ts';
import { describeEvents, freshPrefix, keysOf, StoreObserver, text } from './tools.ts';

export const observerCases: readonly StoreCase[] = [
  {
    name: 'an observer gets what is there, then what changes, one revision at a time',
    async run({ store }) {
      const prefix = freshPrefix();
      await store.put(`${prefix}/b`, text('1'));
      const before = await store.put(`${prefix}/a`, text('1'));
      await using observer = new StoreObserver(store, prefix);
      const snapshot = await observer.snapshot();
      assert.deepEqual(keysOf(snapshot.kvs), [`${prefix}/a`, `${prefix}/b`]);
      assert.equal(snapshot.revision, before);

      const changed = await store.put(`${prefix}/a`, text('2'));
      await store.delete(`${prefix}/b`);
      await store.put(`${prefix}/c`, text('3'));
      const first = await observer.events();
      assert.equal(first.revision, changed);
      assert.deepEqual(first.events, [{ type: 'put', kv: (await store.get(`${prefix}/a`)).kv }]);
      const second = await observer.events();
      assert.deepEqual(second.events, [{ type: 'delete', key: `${prefix}/b`, modRevision: changed + 1n }]);
      assert.equal(second.revision, changed + 1n);
      const third = await observer.events();
      assert.deepEqual(describeEvents(third.events), [`put ${prefix}/c 3`]);
      assert.equal(third.revision, changed + 2n);
    },
  },
  {
    name: 'an observer of nothing gets an empty snapshot',
    async run({ store }) {
      const prefix = freshPrefix();
      await using observer = new StoreObserver(store, prefix);
      assert.deepEqual((await observer.snapshot()).kvs, []);
      await store.put(`${prefix}/a`, text('1'));
      assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/a 1`]);
    },
  },
  {
    name: 'a prefix needs no slash, and what is outside it is not reported',
    async run({ store }) {
      const prefix = freshPrefix();
      await using observer = new StoreObserver(store, `${prefix}/subnets`);
      await observer.snapshot();
      await store.transact({
        compare: [],
        success: ['/subnet', '/subnets', '/subnets-x', '/subnets/a', '/subnett'].map(key => ({
          op: 'put',
          key: `${prefix}${key}`,
          value: text('1'),
        })),
      });
      await store.put(`${prefix}/elsewhere`, text('1'));
      await store.put(`${prefix}/subnets/last`, text('1'));
      const { events } = await observer.events();
      assert.deepEqual(describeEvents(events).sort(), [
        `put ${prefix}/subnets 1`,
        `put ${prefix}/subnets-x 1`,
        `put ${prefix}/subnets/a 1`,
      ]);
      assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/subnets/last 1`]);
    },
  },
  {
    name: 'an exact observer knows its one key only',
    async run({ store }) {
      const key = `${freshPrefix()}/config`;
      await store.put(key, text('1'));
      await store.put(`${key}-more`, text('1'));
      await using observer = new StoreObserver(store, key, { exact: true });
      assert.deepEqual(keysOf((await observer.snapshot()).kvs), [key]);
      await store.put(`${key}/below`, text('1'));
      await store.delete(key);
      assert.deepEqual(describeEvents((await observer.events()).events), [`delete ${key}`]);
    },
  },
  {
    name: 'observers do not disturb each other; another connection sees the same',
    async run({ store, connect }) {
      const prefix = freshPrefix();
      await using other = connect();
      await using first = new StoreObserver(store, prefix);
      await using second = new StoreObserver(store, prefix);
      await using third = new StoreObserver(other, prefix);
      for (const observer of [first, second, third]) await observer.snapshot();
      await store.put(`${prefix}/a`, text('1'));
      const seen = await Promise.all([first, second, third].map(observer => observer.events()));
      assert.deepEqual(seen[1], seen[0]);
      assert.deepEqual(seen[2], seen[0]);
      first.abort();
      assert.equal(await first.next(), undefined);
      await store.put(`${prefix}/b`, text('2'));
      for (const observer of [second, third]) {
        assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/b 2`]);
      }
    },
  },
  {
    name: 'an abort ends the observation quietly: while it waits, and before it starts',
    async run({ store }) {
      const prefix = freshPrefix();
      await using observer = new StoreObserver(store, prefix);
      await observer.snapshot();
      const waiting = observer.next();
      observer.abort(new Error('enough'));
      assert.equal(await waiting, undefined);
      assert.equal(await observer.next(), undefined);
      await using late = new StoreObserver(store, prefix);
      late.abort(new Error('enough'));
      assert.equal(await late.next(), undefined);
    },
  },
  {
    name: 'closing the store ends its observations',
    async run({ connect }) {
      const store = connect();
      await using observer = new StoreObserver(store, freshPrefix());
      await observer.snapshot();
      const waiting = observer.next();
      await store[Symbol.asyncDispose]();
      assert.equal(await waiting, undefined);
    },
  },
  {
    name: 'a slow consumer misses nothing and delays no other',
    async run({ store }) {
      const prefix = freshPrefix();
      await using observer = new StoreObserver(store, prefix);
      await observer.snapshot();
      await store.put(`${prefix}/first`, text('1'));
      await observer.events();
      // More than fits into any buffer on the way.
      const value = new Uint8Array(16 * 1024);
      const revisions = await Promise.all(
        Array.from({ length: 300 }, (_, index) => store.put(`${prefix}/${index}`, value)),
      );
      await store.delete(`${prefix}/first`);
      const seen: bigint[] = [];
      while (seen.length < revisions.length) seen.push((await observer.events()).revision);
      assert.deepEqual(
        seen,
        revisions.toSorted((a, b) => Number(a - b)),
      );
    },
  },
  {
    name: 'a compaction loses nothing to those who are up to date, and newcomers get a snapshot',
    async run({ store, compact }) {
      const prefix = freshPrefix();
      await store.put(`${prefix}/a`, text('1'));
      await using observer = new StoreObserver(store, prefix);
      await observer.snapshot();
      await store.put(`${prefix}/a`, text('2'));
      assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/a 2`]);
      await compact();
      await store.put(`${prefix}/a`, text('3'));
      assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/a 3`]);
      await using newcomer = new StoreObserver(store, prefix);
      assert.deepEqual(keysOf((await newcomer.snapshot()).kvs), [`${prefix}/a`]);
    },
  },
];
