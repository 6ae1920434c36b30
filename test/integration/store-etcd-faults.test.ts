/**
 * The etcd client on a bad day: servers that crash, freeze and forget, and networks that lie. After each fault
 * the observer must know exactly what the store holds, without an event lost or received twice.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import type { Store, StoreUpdate } from '../../src/store/store.ts';
import {
  describeEvents,
  freshPrefix,
  keysOf,
  StoreObserver,
  text,
  textOf,
} from '../../src/testing/store-contract/tools.ts';
import { Etcd, needsEtcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** Tries again at once, and takes no machine that is busy for a store that is gone. */
const QUICK = { connect: 5_000, retryFirst: 20, retryCap: 100 };
/** Notices silence before the test gives up; a busy machine may take seconds for an answer. */
const IMPATIENT = { ...QUICK, call: 8_000, ping: 200, pingTimeout: 5_000 };

const open = (...endpoints: string[]) => new EtcdStore({ endpoints, timing: QUICK });
const openImpatient = (...endpoints: string[]) => new EtcdStore({ endpoints, timing: IMPATIENT });
const through = (proxy: TcpProxy) => `http://127.0.0.1:${proxy.port}`;

/** The next update must be of this type; an interruption may be reported for several reasons, one after the other. */
async function expect<T extends StoreUpdate['type']>(
  observer: StoreObserver,
  type: T,
): Promise<Extract<StoreUpdate, { type: T }>> {
  let update = await observer.next();
  while (type === 'resumed' && update?.type === 'interrupted') update = await observer.next();
  assert.equal(update?.type, type);
  return update as Extract<StoreUpdate, { type: T }>;
}

/** An observer that has its snapshot and a watch that works. */
async function watching(store: Store, writer: Store, prefix: string): Promise<StoreObserver> {
  const observer = new StoreObserver(store, prefix);
  await observer.snapshot();
  await writer.put(`${prefix}/watching`, text('yes'));
  await observer.events();
  return observer;
}

const options = { ...needsEtcd, timeout: 180_000 };

describe('the etcd client on a bad day', () => {
  test('etcd crashes and comes back: interrupted, resumed, nothing lost', options, async () => {
    await using etcd = await Etcd.start();
    await using store = open(etcd.url);
    const prefix = freshPrefix();
    await using observer = await watching(store, store, prefix);
    await etcd.kill();
    const { error } = await expect(observer, 'interrupted');
    assert.equal(error.code, 'UNAVAILABLE');
    await assert.rejects(store.get('/x'), { name: 'StoreError', code: 'UNAVAILABLE' });
    await etcd.restart();
    await etcd.ctl('put', `${prefix}/a`, '1');
    await expect(observer, 'resumed');
    assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/a 1`]);
    assert.equal(textOf((await store.get(`${prefix}/a`)).kv), '1');
  });

  test('the endpoint in use is lost, and the next ones are silent (G2)', options, async t => {
    await using etcd = await Etcd.start();
    await using first = await TcpProxy.start(etcd.port);
    await using last = await TcpProxy.start(etcd.port);
    const silent = createServer();
    silent.on('connection', socket => t.after(() => socket.destroy()));
    t.after(() => silent.close());
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as AddressInfo;
    const endpoints = [
      through(first),
      `http://127.0.0.1:${port}`,
      `https://127.0.0.1:${port}`,
      through(last),
    ];
    // Nobody is waited for until he gives up.
    await using store = new EtcdStore({ endpoints, timing: { ...QUICK, connect: 600_000 } });
    await using observer = await watching(store, store, freshPrefix());
    await first.refuse();
    await expect(observer, 'interrupted');
    await expect(observer, 'resumed');
    await store.put('/after', text('1'));
  });

  test(
    'connections are reset again and again: every revision is received once, in order',
    options,
    async () => {
      await using etcd = await Etcd.start();
      await using proxy = await TcpProxy.start(etcd.port);
      await using store = open(through(proxy));
      await using writer = open(etcd.url);
      const prefix = freshPrefix();
      await using observer = await watching(store, writer, prefix);
      const written: bigint[] = [];
      const writing = (async () => {
        for (let index = 0; index < 400; index++) {
          written.push(await writer.put(`${prefix}/${index % 7}`, text(String(index))));
          if (index % 80 === 40) proxy.reset();
        }
      })();
      const received: bigint[] = [];
      let interruptions = 0;
      while (received.length < 400) {
        const update = await observer.next();
        assert.ok(update !== undefined && update.type !== 'snapshot');
        if (update.type === 'events') received.push(update.revision);
        if (update.type === 'interrupted') interruptions++;
      }
      await writing;
      assert.deepEqual(received, written);
      assert.ok(interruptions > 0, 'a reset was noticed');
    },
  );

  test('history is compacted while we are cut off: a snapshot replaces what we knew', options, async () => {
    await using etcd = await Etcd.start();
    await using proxy = await TcpProxy.start(etcd.port);
    await using store = open(through(proxy));
    await using writer = open(etcd.url);
    const prefix = freshPrefix();
    await writer.put(`${prefix}/gone`, text('1'));
    await using observer = await watching(store, writer, prefix);
    await proxy.refuse();
    await expect(observer, 'interrupted');
    await writer.delete(`${prefix}/gone`);
    const revision = await writer.put(`${prefix}/new`, text('1'));
    await etcd.ctl('compact', String(revision));
    await proxy.listen();
    await expect(observer, 'resumed');
    const { kvs, unrelated } = await observer.snapshot();
    assert.deepEqual(keysOf(kvs), [`${prefix}/new`, `${prefix}/watching`]);
    assert.equal(unrelated, undefined);
    await writer.put(`${prefix}/after`, text('1'));
    assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/after 1`]);
  });

  test('an emptied store at the same address: a snapshot says that all is gone', options, async () => {
    await using etcd = await Etcd.start();
    await using store = open(etcd.url);
    const prefix = freshPrefix();
    for (let index = 0; index < 20; index++) await store.put(`${prefix}/${index}`, text('1'));
    await using observer = await watching(store, store, prefix);
    await etcd.restart({ empty: true });
    await expect(observer, 'interrupted');
    await expect(observer, 'resumed');
    const { kvs, revision, unrelated } = await observer.snapshot();
    assert.deepEqual(kvs, []);
    assert.equal(unrelated, true);
    assert.ok(revision < 20n);
    await store.put(`${prefix}/first`, text('1'));
    assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/first 1`]);
  });

  test('an emptied store that has overtaken us in revisions is known by its term', options, async () => {
    await using etcd = await Etcd.start();
    await using proxy = await TcpProxy.start(etcd.port);
    await using store = open(through(proxy));
    await using writer = open(etcd.url);
    const prefix = freshPrefix();
    await using observer = await watching(store, writer, prefix);
    // Every start of a member begins a new term.
    await etcd.restart();
    await expect(observer, 'interrupted');
    await expect(observer, 'resumed');
    await proxy.refuse();
    await expect(observer, 'interrupted');
    await etcd.restart({ empty: true });
    for (let index = 0; index < 20; index++) await writer.put(`${prefix}/other`, text('1'));
    await proxy.listen();
    await expect(observer, 'resumed');
    const { kvs, unrelated } = await observer.snapshot();
    assert.deepEqual([keysOf(kvs), unrelated], [[`${prefix}/other`], true]);
  });

  test(
    'an emptied store is another one for every observer, also for those to whom it looks the same',
    options,
    async () => {
      await using etcd = await Etcd.start();
      await using store = open(etcd.url);
      const prefix = freshPrefix();
      // What is observed here was written first, and never again.
      await store.put(`${prefix}/old`, text('1'));
      await using quiet = new StoreObserver(store, `${prefix}/old`);
      await quiet.snapshot();
      await using busy = await watching(store, store, `${prefix}/busy`);
      for (let index = 0; index < 20; index++) {
        await store.put(`${prefix}/busy/x`, text('1'));
        await busy.events();
      }
      await etcd.restart({ empty: true });
      // As far as the quiet one was, and not as far as its neighbor.
      await etcd.ctl('put', `${prefix}/other`, '1');
      await etcd.ctl('put', `${prefix}/other`, '2');
      for (const observer of [busy, quiet]) {
        let update = await observer.next();
        while (update?.type === 'interrupted' || update?.type === 'resumed') update = await observer.next();
        assert.ok(update?.type === 'snapshot' && update.unrelated === true);
      }
    },
  );

  test('another cluster behind the address is known by its identity', options, async () => {
    await using etcd = await Etcd.start();
    await using other = await Etcd.start();
    await using proxy = await TcpProxy.start(etcd.port);
    await using store = open(through(proxy));
    await using writer = open(etcd.url);
    await using stranger = open(other.url);
    const prefix = freshPrefix();
    await using observer = await watching(store, writer, prefix);
    for (let index = 0; index < 20; index++) await stranger.put(`${prefix}/other`, text('1'));
    proxy.retarget(other.port);
    proxy.reset();
    await expect(observer, 'interrupted');
    await expect(observer, 'resumed');
    const { kvs, unrelated } = await observer.snapshot();
    assert.deepEqual([keysOf(kvs), unrelated], [[`${prefix}/other`], true]);
  });

  test('a frozen etcd is noticed by unanswered pings, and its thaw too', options, async () => {
    await using etcd = await Etcd.start();
    await using store = openImpatient(etcd.url);
    const prefix = freshPrefix();
    await using observer = await watching(store, store, prefix);
    etcd.pause();
    assert.equal((await expect(observer, 'interrupted')).error.code, 'UNAVAILABLE');
    await assert.rejects(store.put(`${prefix}/lost`, text('1')), { name: 'StoreError', code: 'UNAVAILABLE' });
    etcd.resume();
    await expect(observer, 'resumed');
    // What became of the write without an answer is open; the observer and the store must agree on it.
    const revision = await store.put(`${prefix}/last`, text('1'));
    const received: string[] = [];
    for (let seen = 0n; seen < revision; ) {
      const update = await observer.events();
      received.push(...update.events.map(event => (event.type === 'put' ? event.kv.key : '')));
      seen = update.revision;
    }
    const { kv: lost } = await store.get(`${prefix}/lost`);
    assert.deepEqual(received, [...(lost ? [`${prefix}/lost`] : []), `${prefix}/last`]);
  });

  for (const direction of ['to-server', 'to-client'] as const) {
    test(`a network that swallows everything ${direction} is noticed`, options, async () => {
      await using etcd = await Etcd.start();
      await using proxy = await TcpProxy.start(etcd.port);
      await using store = openImpatient(through(proxy));
      await using writer = open(etcd.url);
      const prefix = freshPrefix();
      await using observer = await watching(store, writer, prefix);
      proxy.stall(direction);
      await writer.put(`${prefix}/meanwhile`, text('1'));
      if (direction === 'to-server') await observer.events();
      await expect(observer, 'interrupted');
      proxy.resume();
      await expect(observer, 'resumed');
      if (direction === 'to-client') {
        assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/meanwhile 1`]);
      }
      await writer.put(`${prefix}/after`, text('1'));
      assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/after 1`]);
    });
  }

  test('a connection that the server has half closed is replaced', options, async () => {
    await using etcd = await Etcd.start();
    await using proxy = await TcpProxy.start(etcd.port);
    await using store = open(through(proxy));
    const prefix = freshPrefix();
    await using observer = await watching(store, store, prefix);
    proxy.halfClose('to-client');
    await expect(observer, 'interrupted');
    await expect(observer, 'resumed');
    await store.put(`${prefix}/after`, text('1'));
    assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/after 1`]);
  });

  test('a slow network is no fault', options, async () => {
    await using etcd = await Etcd.start();
    await using proxy = await TcpProxy.start(etcd.port);
    await using store = open(through(proxy));
    const prefix = freshPrefix();
    proxy.delay(50);
    await using observer = await watching(store, store, prefix);
    for (const value of ['1', '2', '3']) {
      await store.put(`${prefix}/a`, text(value));
      assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/a ${value}`]);
    }
    assert.equal(proxy.accepted, 1);
  });

  test('a write whose answer is lost is reported and not repeated', options, async () => {
    await using etcd = await Etcd.start();
    await using proxy = await TcpProxy.start(etcd.port);
    await using second = await TcpProxy.start(etcd.port);
    await using store = openImpatient(through(proxy), through(second));
    const key = `${freshPrefix()}/once`;
    await store.get(key);
    proxy.stall('to-client');
    await assert.rejects(store.put(key, text('1')), { name: 'StoreError', code: 'UNAVAILABLE' });
    const { kv } = await store.get(key);
    assert.equal(kv?.version, 1n, 'done once, and read through the other endpoint');
    assert.equal(second.accepted, 1);
  });

  test('a dead endpoint is left for the next, and what works is kept', options, async () => {
    await using etcd = await Etcd.start();
    await using first = await TcpProxy.start(etcd.port);
    await using second = await TcpProxy.start(etcd.port);
    await first.refuse();
    await using store = open(through(first), through(second));
    const prefix = freshPrefix();
    await store.put(`${prefix}/a`, text('1'));
    assert.equal((await store.status()).endpoint, through(second));
    await first.listen();
    await store.put(`${prefix}/a`, text('2'));
    assert.equal(first.accepted, 0);
    // And back, when the second one dies: even a write, because it was not sent yet.
    await using observer = await watching(store, store, prefix);
    await second.refuse();
    await expect(observer, 'interrupted');
    await store.put(`${prefix}/a`, text('3'));
    await expect(observer, 'resumed');
    assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/a 3`]);
    assert.equal((await store.status()).endpoint, through(first));
  });

  test('when no endpoint answers, the error names each one with its reason', options, async () => {
    await using dead = await TcpProxy.start(1);
    await dead.refuse();
    await using store = open(through(dead), 'http://tulle-test.invalid:2379');
    await assert.rejects(store.get('/x'), (error: Error) => {
      assert.match(String(error.cause), /2 were tried/);
      const causes = (error.cause as AggregateError).errors.map(String).join('\n');
      assert.match(causes, new RegExp(`127.0.0.1:${dead.port}.*ECONNREFUSED`));
      assert.match(causes, /tulle-test\.invalid/);
      return true;
    });
  });

  test('a full etcd refuses writes with a hint, and says so in its status', options, async () => {
    await using etcd = await Etcd.start({ flags: ['--quota-backend-bytes=4194304'] });
    await using store = open(etcd.url);
    const prefix = freshPrefix();
    await store.put(`${prefix}/kept`, text('1'));
    const fill = async () => {
      for (let index = 0; index < 20; index++) await store.put(`${prefix}/big`, new Uint8Array(1_000_000));
    };
    await assert.rejects(fill(), (error: Error & { retriable?: boolean; hint?: string }) => {
      assert.equal('code' in error && error.code, 'EXHAUSTED');
      assert.equal(error.retriable, true);
      assert.match(error.hint ?? '', /defragment/);
      return true;
    });
    assert.deepEqual((await store.status()).alarms, ['NOSPACE']);
    assert.equal(textOf((await store.get(`${prefix}/kept`)).kv), '1');
  });

  test(
    'a cluster without its majority: leaderless, no writes; with it again, all goes on',
    options,
    async () => {
      await using stack = new AsyncDisposableStack();
      const members = await Etcd.cluster(3);
      for (const member of members) stack.use(member);
      const [survivor, second, third] = members;
      assert.ok(survivor && second && third);
      await using store = open(survivor.url);
      const prefix = freshPrefix();
      await using observer = await watching(store, store, prefix);
      await Promise.all([second.kill(), third.kill()]);
      assert.equal((await expect(observer, 'interrupted')).error.code, 'UNAVAILABLE');
      assert.equal((await store.status()).leaderless, true);
      await assert.rejects(store.put(`${prefix}/a`, text('1')), { name: 'StoreError', code: 'UNAVAILABLE' });
      await second.restart();
      await expect(observer, 'resumed');
      await store.put(`${prefix}/b`, text('1'));
      assert.deepEqual(describeEvents((await observer.events()).events), [`put ${prefix}/b 1`]);
      assert.equal((await store.status()).leaderless, false);
    },
  );

  test('the member in use dies: another serves on, and nothing is lost', options, async () => {
    await using stack = new AsyncDisposableStack();
    const members = await Etcd.cluster(3);
    for (const member of members) stack.use(member);
    await using store = open(...members.map(member => member.url));
    const prefix = freshPrefix();
    await using observer = await watching(store, store, prefix);
    const used = (await store.status()).endpoint;
    await members.find(member => member.url === used)?.kill();
    await expect(observer, 'interrupted');
    await expect(observer, 'resumed');
    // The other two may be electing a leader.
    const revision = await eventually('the others have a leader', () => store.put(`${prefix}/a`, text('1')));
    for (;;) {
      const update = await observer.next();
      assert.ok(update !== undefined);
      if (update.type !== 'events') continue;
      assert.deepEqual(describeEvents(update.events), [`put ${prefix}/a 1`]);
      if (update.revision === revision) break;
    }
  });
});
