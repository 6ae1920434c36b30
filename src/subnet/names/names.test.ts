import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { NameHostFixture, namedOf, nameKeys } from '../../../test/support/names.ts';
import { ParseError } from '../../base/errors.ts';
import { StoreError } from '../../store/store.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { MemoryDatabase } from '../../testing/memory-database.ts';
import { MemoryStore } from '../../testing/memory-store.ts';
import { parseNameKey } from './name-key.ts';
import { decodeNames, encodeNames } from './name-value.ts';
import { namesToPublish, toDnsName } from './names.ts';

function setUp(t: TestContext) {
  const clock = new ManualClock();
  const database = new MemoryDatabase(clock);
  const store = new MemoryStore(database);
  const host = (number: number) => {
    const made = new NameHostFixture(number, new MemoryStore(database), clock);
    t.after(() => made[Symbol.asyncDispose]());
    return made;
  };
  const keys = async () => (await store.list(nameKeys.directory)).kvs.map(({ key }) => nameKeys.below(key));
  const put = (key: string, text: string) =>
    store.put(`${nameKeys.directory}${key}`, new TextEncoder().encode(text));
  return { clock, database, store, host, keys, put };
}

test('names are those that DNS can ask for', () => {
  for (const [text, name] of [
    ['Web_1', 'web_1'],
    ['web.1', 'web.1'],
    ['x'.repeat(63), 'x'.repeat(63)],
    ['x'.repeat(64), undefined],
    ['a..b', undefined],
    ['web.', undefined],
    ['', undefined],
    ['ü', undefined],
    ['a b', undefined],
  ] as const) {
    assert.equal(toDnsName(text), name, text);
  }
  assert.deepEqual(namesToPublish(['Web', 'web', '', 'api']), ['web', 'api']);
  const many = Array.from({ length: 40 }, (_, at) => `${at}.${'x'.repeat(60)}.${'y'.repeat(60)}`);
  const value = encodeNames({
    ...namedOf('blue 10.9.1.2'),
    names: namesToPublish(many),
    hostId: 'h'.repeat(128),
  });
  assert.ok(value.byteLength < 2048);
});

test('an address has one key on a network', () => {
  assert.deepEqual(`${parseNameKey('blue/10.9.1.2')?.ip}`, '10.9.1.2');
  assert.ok(parseNameKey('default/fd00::2'));
  for (const key of [
    'blue',
    'blue/',
    'blue/10.9.1.02',
    'blue/FD00::2',
    'bridge/10.9.1.2',
    'blue/10.9.1.2/x',
    '/1.2.3.4',
  ])
    assert.equal(parseNameKey(key), undefined, key);
});

test('a value is read with all that is wrong with it', () => {
  const read = (text: string) => decodeNames(namedOf('blue 10.9.1.2'), new TextEncoder().encode(text));
  assert.deepEqual(read('{"hostId":"a","names":["web","api"],"later":1}').names, ['web', 'api']);
  for (const text of [
    '{"hostId":"a","names":[]}',
    '{"hostId":"a","names":["Web"]}',
    '{"hostId":"a","names":["a","a"]}',
    '{"hostId":"a"}',
    '{"hostId":"a","names":"web"}',
    '[]',
    'x',
  ])
    assert.throws(() => read(text), ParseError, text);
  assert.throws(() => read('{"hostId":"","names":[7]}'), /hostId.*names|names.*hostId/);
});

test('what a host says is known to the others, and gone when it is not said any more', async t => {
  const { clock, host, keys } = setUp(t);
  const [one, two] = [host(1), host(2)];
  one.state('blue 10.9.1.2 Web api', 'blue fd00::2 web', 'default 10.5.1.2 db');
  two.state('blue 10.9.2.2 web');
  await clock.advance(0);
  assert.deepEqual(two.lookup('blue', 'web'), ['10.9.1.2', '10.9.2.2', 'fd00::2']);
  assert.deepEqual(two.watch.reverse(namedOf('blue 10.9.1.2').ip), [
    { network: 'blue', name: 'web' },
    { network: 'blue', name: 'api' },
  ]);
  assert.deepEqual(two.lookup('default', 'web'), []);
  assert.ok(two.watch.hasNetwork('default'));
  one.state('blue 10.9.1.2 api');
  await clock.advance(0);
  assert.deepEqual(await keys(), ['blue/10.9.1.2', 'blue/10.9.2.2']);
  assert.deepEqual(two.lookup('blue', 'web'), ['10.9.2.2']);
  assert.deepEqual(two.lookup('blue', 'api'), ['10.9.1.2']);
  assert.ok(!two.watch.hasNetwork('default'));
});

test('a restarted agent takes nothing back before it knows its containers, and keeps the store lease', async t => {
  const { clock, store, host, keys } = setUp(t);
  const first = new NameHostFixture(1, new MemoryStore(store.database), clock);
  first.state('blue 10.9.1.2 web', 'red 10.8.1.2 web');
  await clock.advance(0);
  const before = await store.list(nameKeys.directory);
  await first[Symbol.asyncDispose]();
  const second = host(1);
  await clock.advance(1000);
  second.publisher.set([namedOf('blue 10.9.1.2 web')], network => network === 'red');
  await clock.advance(0);
  assert.deepEqual(await store.list(nameKeys.directory), before);
  second.state('blue 10.9.1.2 web');
  await clock.advance(0);
  assert.deepEqual(await keys(), ['blue/10.9.1.2']);
});

test('the store is away: what is known stays, and what was said meanwhile is published after it', async t => {
  const { clock, host } = setUp(t);
  const [one, two] = [host(1), host(2)];
  one.state('blue 10.9.1.2 web');
  await clock.advance(0);
  one.store.cut();
  two.store.cut();
  one.state('blue 10.9.1.3 other');
  await clock.advance(60_000);
  assert.deepEqual(two.lookup('blue', 'web'), ['10.9.1.2']);
  assert.deepEqual(one.lookup('blue', 'web'), [], 'the host itself knows at once that it is gone');
  assert.deepEqual(one.lookup('blue', 'other'), ['10.9.1.3']);
  assert.deepEqual(one.watch.reverse(namedOf('blue 10.9.1.2').ip), []);
  assert.deepEqual(
    one.watch.all().map(({ ip, hostName }) => `${ip} ${hostName}`),
    ['10.9.1.3 docker1'],
  );
  one.store.heal();
  two.store.heal();
  await clock.advance(60_000);
  assert.deepEqual(two.lookup('blue', 'web'), []);
  assert.deepEqual(two.lookup('blue', 'other'), ['10.9.1.3']);
  assert.equal(one.publisher.state.value.failure, undefined);
});

test('of its own a host knows what it says, and what it does not say as long as it does not know', async t => {
  const { clock, store, host } = setUp(t);
  const first = new NameHostFixture(1, new MemoryStore(store.database), clock);
  first.state('blue 10.9.1.2 web', 'red 10.8.1.2 web');
  await clock.advance(0);
  await first[Symbol.asyncDispose]();
  const one = host(1);
  await clock.advance(0);
  assert.deepEqual(one.lookup('blue', 'web'), ['10.9.1.2'], 'nothing was stated yet');
  one.store.cut();
  one.publisher.set([namedOf('blue 10.9.1.3 web')], network => network === 'red');
  assert.deepEqual(one.lookup('blue', 'web'), ['10.9.1.3']);
  assert.deepEqual(one.lookup('red', 'web'), ['10.8.1.2']);
  one.state('blue 10.9.1.3 api web');
  assert.deepEqual(one.lookup('red', 'web'), []);
  assert.deepEqual(one.watch.reverse(namedOf('blue 10.9.1.3').ip), [
    { network: 'blue', name: 'api' },
    { network: 'blue', name: 'web' },
  ]);
  one.publisher.set([], () => true);
  assert.deepEqual(one.lookup('red', 'web'), ['10.8.1.2']);
  one.state();
  one.publisher.suspend(true);
  assert.deepEqual(
    one.lookup('red', 'web'),
    ['10.8.1.2'],
    'it may be that of the other host with this identity',
  );
});

test('names of another host are not overwritten, and follow when they are gone', async t => {
  const { clock, host } = setUp(t);
  const [one, two] = [host(1), host(2)];
  one.state('blue 10.9.1.2 web');
  await clock.advance(0);
  two.state('blue 10.9.1.2 thief', 'blue 10.9.2.2 db');
  await clock.advance(0);
  assert.deepEqual(one.lookup('blue', 'thief'), []);
  assert.deepEqual(one.lookup('blue', 'db'), ['10.9.2.2']);
  const [conflict] = two.publisher.state.value.conflicts;
  assert.deepEqual([conflict?.own.names, conflict?.owner.names], [['thief'], ['web']]);
  one.state();
  await clock.advance(0);
  assert.deepEqual(one.lookup('blue', 'thief'), ['10.9.1.2']);
  assert.deepEqual(two.publisher.state.value.conflicts, []);
});

test('a lost lease, a deleted key and an unreadable value are repaired', async t => {
  const { clock, store, host, put } = setUp(t);
  // What the host itself knows says nothing of the store.
  const [one, two] = [host(1), host(2)];
  one.state('blue 10.9.1.2 web');
  await clock.advance(0);
  const { kv } = await store.get(`${nameKeys.directory}blue/10.9.1.2`);
  await store.revoke(kv?.lease ?? 0n);
  await clock.advance(60_000);
  assert.deepEqual(two.lookup('blue', 'web'), ['10.9.1.2']);
  await store.delete(`${nameKeys.directory}blue/10.9.1.2`);
  await clock.advance(60_000);
  assert.deepEqual(two.lookup('blue', 'web'), ['10.9.1.2']);
  await put('blue/10.9.1.2', '{"names":');
  await clock.advance(120_000);
  assert.deepEqual(two.lookup('blue', 'web'), ['10.9.1.2']);
  assert.equal(two.rejected.length, 1);
  assert.deepEqual(one.watch.rejected, []);
});

test('a host that leaves takes its names back at once', async t => {
  const { clock, host, keys } = setUp(t);
  const one = host(1);
  one.state('blue 10.9.1.2 web');
  await clock.advance(0);
  await one.publisher.withdraw();
  await clock.advance(1000);
  assert.deepEqual(await keys(), []);
});

test('what the store refuses keeps nothing else from being published', async t => {
  const { clock, host, keys } = setUp(t);
  const one = host(1);
  const transact = one.store.transact.bind(one.store);
  one.store.transact = transaction => {
    if (transaction.success.some(write => 'key' in write && write.key.endsWith('/10.9.1.2')))
      return Promise.reject(new StoreError('FORBIDDEN', 'not yours'));
    return transact(transaction);
  };
  one.state('blue 10.9.1.2 web', 'blue 10.9.1.3 db');
  await clock.advance(0);
  assert.deepEqual(await keys(), ['blue/10.9.1.3']);
  assert.equal(one.publisher.state.value.failure?.code, 'FORBIDDEN');
});

test('many addresses of one name come and go in reasonable time', async t => {
  const { clock, host } = setUp(t);
  const one = host(1);
  const many = Array.from({ length: 5000 }, (_, at) => `blue 10.9.${at >> 8}.${at & 255} web c${at}`);
  one.state(...many);
  await clock.advance(0);
  assert.equal(one.lookup('blue', 'web').length, 5000);
  one.state(...many.slice(1));
  await clock.advance(0);
  assert.deepEqual(one.lookup('blue', 'c0'), []);
  one.state();
  await clock.advance(0);
  assert.ok(!one.watch.hasNetwork('blue'));
});

test('two copies of a host do not write against each other for ever', async t => {
  const { clock, store, host } = setUp(t);
  host(1).state('blue 10.9.1.2 web');
  await clock.advance(0);
  host(1).state('blue 10.9.1.3 web');
  for (let minute = 0; minute < 30; minute++) await clock.advance(60_000);
  const { revision } = await store.list('/');
  for (let minute = 0; minute < 10; minute++) await clock.advance(60_000);
  const writes = Number((await store.list('/')).revision - revision);
  assert.ok(writes <= 80, `${writes} writes in ten minutes`);
});
