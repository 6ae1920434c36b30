/**
 * What hosts do while their store is away, wrong or emptied: they keep forwarding, they say so, and they need
 * nobody to come back.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsRoot } from '../integration/support.ts';
import { Cluster, CONFIG, countOf, eventually } from '../support/cluster.ts';
import { needsEtcd } from '../support/etcd.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;

describe('etcd is away', needs, () => {
  test('for a while: packets flow, the status says since when and why, and nothing is written', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const before = await one.client.status();
    const pinging = from.ping(to, { count: 300 });

    await cluster.etcd.kill();
    const away = await one.until('it misses the store', ({ store }) => !store.connected);
    assert.equal(away.agent.state, 'degraded');
    assert.equal(away.agent.ready, true);
    assert.match(away.agent.reason ?? '', /the store does not answer: ./);
    assert.ok(away.store.since > before.store.since);
    assert.equal(countOf(away, 'ok'), 1);

    await cluster.etcd.restart();
    const back = await one.until('the store is back', ({ agent }) => agent.state === 'ready');
    assert.equal(back.lease?.key, before.lease?.key);
    assert.equal(back.dataplane.writes, before.dataplane.writes);
    assert.deepEqual(await pinging, { sent: 300, received: 300 });
  });

  test('when an agent starts: it comes up with what it knew, and is confirmed later', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const before = await one.client.status();
    await one.stopAgent();
    await cluster.etcd.kill();

    await one.startAgent();
    const alone = await one.untilConnected(1);
    assert.equal(alone.store.connected, false);
    assert.equal(alone.store.cached, true);
    assert.equal(alone.lease?.key, before.lease?.key);
    assert.equal(alone.lease?.ownership, 'unconfirmed');
    assert.equal(alone.dataplane.writes, 0);
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });

    await cluster.etcd.restart();
    const confirmed = await one.until('the lease is confirmed', ({ lease }) => lease?.ownership === 'held');
    assert.equal(confirmed.lease?.key, before.lease?.key);
    assert.equal(confirmed.lease?.storeLease, before.lease?.storeLease);
    await one.until('it is ready', ({ agent, store }) => agent.state === 'ready' && !store.cached);
  });

  test('from the very first start: it waits, says for what, and goes on by itself', async t => {
    const cluster = await Cluster.start(t, { hosts: 1 });
    await cluster.etcd.kill();
    const host = cluster.host(1);
    await host.startAgent();
    const waiting = await host.until('it waits', ({ agent }) => agent.state === 'waiting');
    assert.match(waiting.agent.reason ?? '', /the store does not answer/);
    await cluster.etcd.restart();
    await host.untilConnected(0);
  });
});

describe('the way to etcd', needs, () => {
  test('is cut in one direction: noticed, and survived', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    one.store.stall('to-client');
    await two.client.releaseLease();
    await one.until('silence is noticed', ({ store }) => !store.connected);
    assert.equal(countOf(await one.client.status(), 'ok'), 1);
    one.store.resume();
    await one.until('what was missed is known', ({ peers, store }) => store.connected && peers.length === 0);
  });

  test('flaps: connections that are reset again and again change nothing', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const before = await one.client.status();
    const pinging = from.ping(to, { count: 150 });
    for (let round = 0; round < 5; round++) {
      const { accepted } = one.store;
      one.store.reset();
      await eventually('it connects again', async () => one.store.accepted > accepted);
    }
    const after = await one.until('it is well', ({ agent }) => agent.state === 'ready');
    assert.equal(after.dataplane.writes, before.dataplane.writes);
    assert.equal(after.lease?.storeLease, before.lease?.storeLease);
    assert.deepEqual(await pinging, { sent: 150, received: 150 });
  });
});

describe('etcd forgets', needs, () => {
  test('everything: hosts keep their subnets and write themselves down again', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const keys = await cluster.leaseKeys();
    const pinging = from.ping(to, { count: 400 });

    await cluster.etcd.restart({ empty: true });
    await eventually('both leases are back', async () => {
      return (await cluster.leaseKeys()).join() === keys.join();
    });
    const status = await one.until(
      'both reach each other',
      s => countOf(s, 'ok') === 1 && s.dataplane.inSync,
    );
    // What is in use stays in use, and the gap is told.
    assert.equal(status.warnings[0]?.code, 'CONFIG_REFUSED');
    assert.equal(status.agent.ready, true);
    await two.until('so does the other', s => countOf(s, 'ok') === 1 && s.dataplane.inSync);
    assert.deepEqual(await pinging, { sent: 400, received: 400 });
    await cluster.configure(CONFIG);
    await one.until('all is well', ({ agent }) => agent.state === 'ready');
  });

  test('one lease: its host gets a lease again, and the tunnels of the others stay', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const { lease } = await one.client.status();
    await cluster.etcd.ctl('lease', 'revoke', lease?.storeLease ?? '');
    const again = await one.until('it has a lease again', status => {
      return status.agent.ready && status.lease?.storeLease !== lease?.storeLease;
    });
    assert.equal(again.lease?.key, lease?.key);
    await two.untilConnected(1);
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
    const events = await Array.fromAsync(one.client.events());
    assert.equal(events.filter(({ type }) => type === 'lease-lost').length, 1);
  });
});

test('etcd compacts what a host has missed: the host sees what is, and loses nothing', needs, async t => {
  const cluster = await Cluster.start(t, { hosts: 3 });
  await cluster.startAgents();
  const [one, two, three] = [cluster.host(1), cluster.host(2), cluster.host(3)];
  const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
  const pinging = from.ping(to, { count: 300 });
  await one.store.refuse();
  await one.until('it misses the store', ({ store }) => !store.connected);
  await three.client.releaseLease();
  await two.until('the other one has seen it', ({ peers }) => peers.length === 1);
  const { store } = await two.client.status();
  await cluster.etcd.ctl('compaction', store.revision ?? '');
  await one.store.listen();
  await one.until('it has seen it too', ({ peers, agent }) => peers.length === 1 && agent.state === 'ready');
  assert.deepEqual(await pinging, { sent: 300, received: 300 });
});

test('etcd is full: hosts that have a lease go on, one that comes waits and says why', needs, async t => {
  const cluster = await Cluster.start(t, { etcdFlags: ['--quota-backend-bytes=524288'] });
  const [one, two] = [cluster.host(1), cluster.host(2)];
  await one.startAgent();
  await one.untilConnected(0);
  const ballast = 'x'.repeat(64 * 1024);
  await eventually('etcd is full', async () => {
    await cluster.etcd.ctl('put', '/ballast', ballast).catch(() => undefined);
    return (await cluster.etcd.ctl('alarm', 'list')).includes('NOSPACE');
  });
  await two.startAgent();
  const waiting = await two.until('it waits for a lease', ({ conditions }) => {
    return conditions.some(({ name, ok, code }) => name === 'lease' && !ok && code !== 'STARTING');
  });
  assert.match(waiting.agent.reason ?? '', /space/);
  assert.equal((await one.client.status()).agent.ready, true);

  await cluster.etcd.ctl('del', '/ballast');
  const { header } = JSON.parse(await cluster.etcd.ctl('get', '/ballast', '-w', 'json')) as {
    header: { revision: number };
  };
  await cluster.etcd.ctl('compaction', String(header.revision));
  await cluster.etcd.ctl('defrag');
  await cluster.etcd.ctl('alarm', 'disarm');
  await two.untilConnected(1);
  await one.untilConnected(1);
});

test('two hosts that tell the same public address are warned about on both', needs, async t => {
  const cluster = await Cluster.start(t);
  const [one, two] = [cluster.host(1), cluster.host(2)];
  await one.startAgent();
  await one.untilConnected(0);
  await two.startAgent('--public-ip=192.168.65.3');
  for (const host of [one, two]) {
    const { warnings } = await host.until('it is warned', status => status.warnings.length > 0);
    assert.equal(warnings[0]?.code, 'DUPLICATE_PUBLIC_IP');
    assert.match(warnings[0]?.hint ?? '', /--public-ip/);
  }
  assert.equal((await cluster.leaseKeys()).length, 2);
});
