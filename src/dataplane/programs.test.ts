import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { DEVICE, FakeHost } from '../testing/dataplane/fake-host.ts';
import { MemoryPrograms } from '../testing/dataplane/memory-programs.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import type { DesiredHost } from './desired.ts';
import type { DesiredProgram, ProgramPoint } from './programs.ts';

const NOTHING: DesiredHost = { networks: [], links: [], addresses: [], sysctls: [] };
const at = (link: string, point: ProgramPoint, program: string): DesiredProgram => ({ link, point, program });
const [TRANSMIT, DELIVERED] = ['ingress transmit', 'egress delivered'];
const BOTH = `${TRANSMIT}, ${DELIVERED}`;

/** At a host end. */
const pair = (link: string) => [at(link, 'ingress', 'transmit'), at(link, 'egress', 'delivered')];

/** A host with a fast path, and the host end veth1. */
async function begin(...desired: readonly DesiredProgram[]) {
  const store = new MemoryPrograms();
  const host = new FakeHost({ programs: store });
  const { index } = host.kernel.plugIn({ name: 'veth1', up: true, info: { kind: 'veth' } });
  const scope = host.plane.network('fast path');
  const state = (...programs: readonly DesiredProgram[]) => {
    scope.setHost({ ...NOTHING, programs });
    return host.plane.apply();
  };
  if (desired.length > 0) {
    const { inSync, failures } = await state(...desired);
    assert.deepEqual({ inSync, failures }, { inSync: true, failures: [] });
  }
  const dispose = () => host[Symbol.asyncDispose]();
  return { store, host, scope, index, state, [Symbol.asyncDispose]: dispose };
}

const repairs = ({ repairs: all }: FakeHost) =>
  all.map(({ object, link, action, found, wanted }) => [object, link, action, found, wanted]);

describe('programs at links', () => {
  test('are attached, replaced and detached as is stated', async () => {
    await using running = await begin(...pair('veth1'));
    const { store, host, scope, index, state } = running;
    assert.equal(store.show(index), BOTH);
    const { wanted, failed, inSync } = scope.report();
    assert.deepEqual({ wanted, failed, inSync }, { wanted: 2, failed: 0, inSync: true });
    assert.equal(host.plane.report().wanted, 2);

    const { writes } = await state(at('veth1', 'ingress', 'another'));
    assert.deepEqual([store.show(index), writes], ['ingress another', 2]);
    await state();
    assert.equal(store.show(index), '', 'the link stays, and its programs go');
    await state(...pair('veth1'));
    scope.remove();
    assert.equal((await host.plane.apply()).inSync, true);
    assert.equal(store.show(index), '', 'with the network');
    assert.deepEqual(host.repairs, []);
    await host.plane[Symbol.asyncDispose]();
    assert.equal(store.isWatched, false);
  });

  test('are not said to be in place while they are being attached', async () => {
    await using running = await begin();
    const { store, host, state } = running;
    const attach = store.attach.bind(store);
    const said: boolean[] = [];
    store.attach = (...args) => {
      said.push(host.plane.report().inSync);
      return attach(...args);
    };
    assert.equal((await state(...pair('veth1'))).inSync, true);
    assert.deepEqual(said, [false, false]);
  });

  test('stay when the data plane is closed', async () => {
    await using running = await begin(...pair('veth1'));
    await running.host.plane[Symbol.asyncDispose]();
    assert.equal(running.store.show(running.index), BOTH);
  });

  test('what another run left is kept where it is wanted, and goes once somebody says what is', async () => {
    await using running = await begin();
    const { store, host, index, state } = running;
    const other = host.kernel.plugIn({ name: 'veth2' }).index;
    for (const left of [index, other]) {
      store.damage(left, 'ingress', 'transmit');
      store.leave(left, 'egress');
    }
    await host.begin([]);
    assert.equal(store.show(other), 'ingress transmit, egress ?', 'nobody has said anything of programs');
    const { writes } = await state(...pair('veth1'));
    assert.deepEqual([store.show(index), store.show(other), writes], [BOTH, '', 3]);
    assert.deepEqual(host.repairs, [], 'nobody else has changed anything');
  });

  test('are restored when others have taken them away, replaced them or added to them', async () => {
    await using running = await begin(...pair('veth1'));
    const { store, host, index, state } = running;
    store.damage(index, 'ingress', undefined);
    store.leave(index, 'egress');
    await host.pass(100);
    assert.deepEqual(repairs(host), [], 'nothing was announced');
    store.announce('another');
    await host.pass(100);
    assert.deepEqual(repairs(host), []);
    store.announce('veth1');
    assert.equal(host.plane.report().inSync, false);
    await host.pass(100);
    assert.equal(store.show(index), BOTH);
    assert.deepEqual(repairs(host), [
      ['program', 'veth1', 'restored', undefined, 'program transmit dev veth1 ingress'],
      [
        'program',
        'veth1',
        'replaced',
        'program of a former agent dev veth1 egress',
        'program delivered dev veth1 egress',
      ],
    ]);
    assert.equal(host.repairs[0]?.network, 'fast path');
    assert.equal(host.plane.report().driftRepairs.program, 2);

    await state(at('veth1', 'ingress', 'transmit'));
    store.damage(index, 'egress', 'delivered');
    store.announce();
    await host.pass(100);
    assert.equal(store.show(index), TRANSMIT);
    assert.deepEqual(repairs(host).at(-1), [
      'program',
      'veth1',
      'removed',
      'program delivered dev veth1 egress',
      undefined,
    ]);
  });

  test('are looked at in every full comparison, and when something was announced of the link', async () => {
    await using running = await begin(...pair('veth1'));
    const { store, host, index } = running;
    store.damage(index, 'ingress', undefined);
    assert.equal((await host.plane.resync('test')).writes, 1);
    assert.equal(store.show(index), BOTH);
    store.damage(index, 'egress', undefined);
    await host.others.links.change('veth1', { up: false });
    await host.pass(100);
    assert.equal(store.show(index), BOTH);
    store.damage(index, 'egress', undefined);
    host.kernel.overrun();
    await host.pass(1000);
    assert.equal(store.show(index), BOTH);
  });

  test('a link that came while announcements were lost gets them', async () => {
    await using running = await begin(...pair('veth1'), ...pair('veth2'));
    const { store, host } = running;
    const { index } = host.kernel.plugIn({ name: 'veth2' });
    host.kernel.overrun();
    await host.pass(1000);
    assert.equal(store.show(index), BOTH);
  });

  test('a link that is not there is no failure, and gets them when it comes, under whatever index and after whatever name', async () => {
    await using running = await begin(...pair('veth1'), ...pair('veth2'));
    const { store, host, index, scope } = running;
    assert.deepEqual([scope.report().wanted, scope.report().inSync], [4, true]);
    await host.others.links.delete('veth1');
    store.remove(index);
    await host.pass(100);
    assert.equal(scope.report().inSync, true);
    const again = host.kernel.plugIn({ name: 'veth1' }).index;
    const named = host.kernel.plugIn({ name: 'veth3' }).index;
    await host.pass(100);
    assert.equal(store.show(again), BOTH);
    await host.others.links.change(named, { name: 'veth2' });
    await host.pass(100);
    assert.equal(store.show(named), BOTH);
    await host.others.links.change(again, { name: 'veth4' });
    await host.pass(100);
    assert.equal(store.show(again), '', 'what has another name by now has none');
    assert.deepEqual(host.repairs, []);
  });

  test('a link that vanishes before the kernel has announced it is no failure', async () => {
    await using running = await begin();
    const { store, host, index, state } = running;
    store.removeUnannounced(index);
    const { inSync, failures } = await state(...pair('veth1'));
    assert.deepEqual({ inSync, failures }, { inSync: true, failures: [] });
    assert.equal(host.plane.report().failed, 0);
  });

  test('one of our own gets them again when it was made anew', async () => {
    const store = new MemoryPrograms();
    await using host = new FakeHost({ programs: store });
    host.network.setHost({ ...host.desired, programs: pair(DEVICE) });
    await host.plane.apply();
    const first = await host.index();
    assert.equal(store.show(first), BOTH);
    await host.others.links.delete(DEVICE);
    store.remove(first);
    await host.pass(1000);
    assert.equal(store.show(await host.index()), BOTH);
    assert.deepEqual(
      host.repairs.map(({ object }) => object),
      ['link'],
    );
  });

  test('what is refused is reported, and tried again less and less often', async () => {
    await using running = await begin();
    const { store, host, scope, index, state } = running;
    host.kernel.plugIn({ name: 'veth2' });
    await state(...pair('veth1'), ...pair('veth2'));
    store.damage(index, 'ingress', undefined);
    store.refuse(1);
    const { failures, inSync } = await host.plane.resync('test');
    assert.deepEqual(
      { failures, inSync },
      { inSync: false, failures: ['programs dev veth1: the kernel has no room'] },
    );
    assert.equal(store.show(index), DELIVERED, 'nothing is done where it is not known what there is');
    assert.equal(scope.report().failed, 1);
    await host.pass(10_000);
    assert.equal(store.show(index), BOTH);
    assert.equal(scope.report().inSync, true);
    assert.equal(repairs(host)[0]?.[2], 'restored');

    store.refuse(Number.POSITIVE_INFINITY);
    await state(at('veth1', 'ingress', 'another'), at('veth1', 'egress', 'delivered'));
    assert.deepEqual(scope.report().failures, ['program another dev veth1 ingress: the kernel has no room']);
    const rounds = host.rounds.length;
    await host.pass(60_000);
    assert.ok(host.rounds.length - rounds < 15, 'less and less often');
    await host.others.links.delete('veth1');
    await host.pass(100);
    assert.equal(scope.report().inSync, true, 'a link that is gone refuses nothing');
  });

  test('of two networks the one that began first has a point; what both want is shared', async () => {
    await using running = await begin(...pair('veth1'));
    const { store, host, scope, index } = running;
    const other = host.plane.network('other');
    other.setHost({
      ...NOTHING,
      programs: [at('veth1', 'ingress', 'another'), at('veth1', 'egress', 'delivered')],
    });
    const { failures } = await host.plane.apply();
    const reason = 'network fast path has the program transmit there';
    assert.deepEqual(failures, [`program another dev veth1 ingress: ${reason}`]);
    assert.deepEqual([other.report().failed, scope.report().failed], [1, 0]);
    scope.remove();
    await host.plane.apply();
    assert.equal(store.show(index), 'ingress another, egress delivered');
    assert.equal(other.report().inSync, true);
  });

  test('what changes while it is read is read again', async () => {
    await using running = await begin();
    const { store, host, index, state } = running;
    let isFirst = true;
    store.onRead = link => {
      if (link.index !== index || !isFirst) return;
      isFirst = false;
      store.damage(index, 'egress', 'delivered');
      store.announce('veth1');
    };
    const { writes } = await state(...pair('veth1'));
    await host.pass(100);
    assert.deepEqual([store.show(index), writes], [BOTH, 1]);
  });

  test('of a thousand links only what has changed is read', async () => {
    await using running = await begin();
    const { store, host, state } = running;
    const names = Array.from({ length: 1000 }, (_, n) => `host${n}`);
    for (const name of names) host.kernel.plugIn({ name });
    await state(...names.flatMap(pair));
    assert.equal(host.plane.report().inSync, true);
    const before = store.reads;
    const { writes } = await state(...names.slice(1).flatMap(pair));
    assert.deepEqual([store.reads - before, writes], [1, 2], 'a link is read before it is forgotten');
    host.kernel.plugIn({ name: 'host1000' });
    await state(...[...names, 'host1000'].slice(1).flatMap(pair));
    assert.equal(store.reads - before, 2);
  });

  test('of many links as many are seen to as fit into a turn, and the others soon', async () => {
    const store = new MemoryPrograms();
    const clock = new ManualClock();
    let spent = 0;
    const slow: Clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic() + spent,
      sleep: (ms, signal) => clock.sleep(ms, signal),
    };
    await using host = new FakeHost({ programs: store, clock: slow });
    const names = Array.from({ length: 200 }, (_, n) => `host${n}`);
    const indexes = names.map(name => host.kernel.plugIn({ name }).index);
    store.onRead = () => {
      spent += 50;
    };
    const isDone = () => host.plane.report().inSync && indexes.every(index => store.show(index) === BOTH);
    host.network.setHost({ ...host.desired, programs: names.flatMap(pair) });
    assert.equal((await host.plane.apply()).inSync, false);
    assert.match(host.show(), /^flannel\.88: /m, 'nothing else waits for them');
    for (let waited = 0; !isDone() && waited < 2000; waited += 20) {
      await clock.advance(20);
      for (let turn = 0; turn < 50; turn++) await setImmediate();
    }
    assert.ok(isDone(), 'they do not count as reactions to others, which are made less and less often');
    assert.equal(host.plane.report().conflict, undefined);
  });

  test('where none can run each fails, and says so', async () => {
    await using host = new FakeHost();
    host.kernel.plugIn({ name: 'veth1' });
    host.network.setHost({ ...host.desired, programs: pair('veth1') });
    const { inSync, failures } = await host.plane.apply();
    assert.equal(inSync, false);
    assert.equal(failures[0], 'program transmit dev veth1 ingress: this host has no programs');
    assert.deepEqual([failures.length, host.plane.report().failed], [2, 2]);
  });
});
