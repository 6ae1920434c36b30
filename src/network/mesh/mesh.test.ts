/** Whom hosts ask, how often, what they tell each other, and what they say when the network breaks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { keyOf, MeshHosts } from '../../testing/network/mesh-hosts.ts';
import { fc } from '../../testing/properties.ts';
import { PROBE_BURST, PROBE_RATE } from '../probe-budget.ts';
import { decodeSuspects, encodeSuspects } from './suspicion.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

describe('what hosts ask', () => {
  test('is everything of every peer, at a cost that does not grow with them', async t => {
    for (const count of [2, 3, 40]) {
      const hosts = new MeshHosts(t, count).join();
      await hosts.clock.advance(MINUTE);
      for (const [index] of hosts.meshes.entries()) {
        const asked = new Set(hosts.sent.filter(({ from }) => from === index).map(({ to }) => to));
        assert.equal(asked.size, count - 1, `host ${index} of ${count} asks everyone`);
        assert.equal(hosts.changes[index], count - 1, 'each answers, once and for all');
      }
      const perSecond = hosts.sent.length / count / 60;
      assert.ok(perSecond <= PROBE_RATE + PROBE_BURST / 60, `${perSecond} a second`);
      assert.ok(perSecond <= (count - 1) / 2 + 0.1, `${perSecond} a second to ${count - 1} peers`);
      const kinds = new Set(hosts.sent.map(({ inTunnel, size }) => `${inTunnel} ${size}`));
      assert.deepEqual([...kinds].sort(), ['false 28', 'true 1450']);
    }
  });

  test('never is more than the budget, whatever is lost, and never forgets anybody', async t => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 12 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        fc.array(fc.nat(11), { maxLength: 3 }),
        async (count, loss, luck, dead) => {
          const hosts = new MeshHosts(t, count).join();
          hosts.requests = () => luck.next().value >= loss;
          await hosts.clock.advance(10 * SECOND);
          for (const index of dead) hosts.dead.add(index);
          await hosts.clock.advance(40 * SECOND);
          for (const [index] of hosts.meshes.entries()) {
            const own = hosts.sent.filter(({ from }) => from === index);
            for (const [first, { at }] of own.entries()) {
              const inSecond = own.slice(first).filter(({ at: later }) => later - at < SECOND).length;
              assert.ok(inSecond <= PROBE_BURST + PROBE_RATE, `${inSecond} in a second`);
            }
            assert.ok(own.length <= PROBE_BURST + PROBE_RATE * 50 + 1, `${own.length} in 50 s`);
            assert.equal(new Set(own.map(({ to }) => to)).size, count - 1);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('is left to those who find another way, where an answer would prove nothing', async t => {
    const hosts = new MeshHosts(t, 3).join();
    await hosts.clock.advance(MINUTE);
    hosts.unsettled.add(0);
    for (const peer of [1, 2]) hosts.dead.add(peer);
    await hosts.clock.advance(10 * SECOND);
    assert.equal(hosts.budgets[0]?.wait(PROBE_BURST - 1), 0, 'nothing was taken of the budget');
    hosts.unsettled.delete(0);
    await hosts.clock.advance(10 * SECOND);
    assert.equal(hosts.meshes[0]?.host.isCut, true, 'it asks again');
  });
});

describe('a host that dies', () => {
  for (const count of [3, 100]) {
    test(`is named by all of ${count} within 5 s, and nobody else is; so is its return`, async t => {
      const hosts = new MeshHosts(t, count).join();
      await hosts.clock.advance(MINUTE);
      hosts.dead.add(1);
      await hosts.clock.advance(5 * SECOND);
      assert.deepEqual(
        hosts.where(index => hosts.state(index, 1) !== 'silent').filter(i => i !== 1),
        [],
      );
      const others = hosts.where(
        index => hosts.where(to => to !== index && hosts.state(index, to) !== 'answers').length > 0,
      );
      assert.deepEqual(others, []);
      hosts.dead.delete(1);
      await hosts.clock.advance(5 * SECOND);
      assert.deepEqual(
        hosts.where(index => index !== 1 && hosts.state(index, 1) !== 'answers'),
        [],
      );
      assert.deepEqual(
        hosts.where(index => index !== 1 && hosts.meshes[index]?.host.isCut === true),
        [],
      );
    });
  }

  test('is named where most hosts only answer, as those of flannel', async t => {
    const hosts = new MeshHosts(t, 8, [0, 1, 2, 3, 4, 5]).join();
    await hosts.clock.advance(MINUTE);
    hosts.dead.add(1);
    await hosts.clock.advance(5 * SECOND);
    assert.deepEqual([hosts.state(6, 1), hosts.state(7, 1)], ['silent', 'silent']);
    assert.equal(hosts.state(6, 0), 'answers');
  });
});

describe('what is said', () => {
  test('of a host that nobody answers is about itself', async t => {
    const hosts = new MeshHosts(t, 20).join();
    await hosts.clock.advance(MINUTE);
    hosts.requests = ({ from, to }) => from !== 4 && to !== 4;
    await hosts.clock.advance(5 * SECOND);
    const mesh = hosts.meshes[4];
    assert.equal(mesh?.host.isCut, true);
    const silent = hosts.where(to => to !== 4 && hosts.state(4, to) === 'silent');
    assert.ok(silent.length <= 1, silent.join());
    assert.equal(hosts.state(5, 4), 'silent');
    hosts.requests = () => true;
    await hosts.clock.advance(5 * SECOND);
    assert.equal(mesh?.host.isCut, false);
    assert.deepEqual(
      hosts.where(to => to !== 4 && hosts.state(4, to) !== 'answers'),
      [],
    );
  });

  test('of a path on which only large packets are lost is that, and of the tunnel alone also that', async t => {
    const hosts = new MeshHosts(t, 4).join();
    await hosts.clock.advance(MINUTE);
    hosts.requests = ({ from, to, size }) => from !== 0 || to !== 1 || size < 1400;
    await hosts.clock.advance(8 * SECOND);
    assert.deepEqual([hosts.state(0, 1), hosts.state(0, 2)], ['size', 'answers']);
    hosts.requests = ({ from, to, inTunnel }) => from !== 0 || to !== 1 || !inTunnel;
    await hosts.clock.advance(8 * SECOND);
    assert.deepEqual([hosts.state(0, 1), hosts.path(0, 1)?.answers.underlay], ['silent', true]);
    assert.notEqual(hosts.path(0, 1)?.lastRequest, undefined);
    hosts.requests = () => true;
    await hosts.clock.advance(8 * SECOND);
    assert.deepEqual([hosts.state(0, 1), hosts.path(0, 1)?.answers.underlay], ['answers', true]);
  });

  test('of a path that loses a part is how much', async t => {
    const hosts = new MeshHosts(t, 3).join();
    await hosts.clock.advance(MINUTE);
    let count = 0;
    hosts.requests = ({ from, to }) => from !== 0 || to !== 1 || count++ % 3 !== 0;
    await hosts.clock.advance(8 * SECOND);
    assert.equal(hosts.state(0, 1), 'loss');
    await hosts.clock.advance(20 * SECOND);
    const loss = hosts.path(0, 1)?.answers.loss ?? 0;
    assert.ok(loss > 0.2 && loss < 0.45, `${loss}`);
    hosts.requests = () => true;
    await hosts.clock.advance(30 * SECOND);
    assert.equal(hosts.state(0, 1), 'answers');
  });

  test('is nothing after two lost echoes, nor where this process was late', async t => {
    const hosts = new MeshHosts(t, 3).join();
    await hosts.clock.advance(MINUTE);
    const before = [...hosts.changes];
    for (let round = 0; round < 10; round++) {
      let left = 2;
      hosts.requests = ({ from, to }) => from !== 0 || to !== 1 || left-- <= 0;
      await hosts.clock.advance(20 * SECOND);
    }
    assert.deepEqual(hosts.changes, before);
    hosts.late = 2 * SECOND;
    hosts.requests = () => false;
    await hosts.clock.advance(MINUTE);
    assert.deepEqual(hosts.changes, before);
  });

  test('of a peer that never answers is no silence, and costs the others no attention', async t => {
    const hosts = new MeshHosts(t, 30);
    for (let index = 5; index < 30; index++) hosts.dead.add(index);
    hosts.join();
    await hosts.clock.advance(3 * MINUTE);
    assert.deepEqual(
      hosts.where(index => hosts.state(index, 9) !== 'unanswered'),
      [],
    );
    hosts.dead.add(1);
    await hosts.clock.advance(6 * SECOND);
    assert.deepEqual(
      [0, 2, 3, 4].map(index => hosts.state(index, 1)),
      Array(4).fill('silent'),
    );
  });

  test('is not changed by forged hints: each costs an echo at most, and their number is bounded', async t => {
    const hosts = new MeshHosts(t, 10, [1, 2, 3, 4, 5, 6, 7, 8, 9]).join();
    await hosts.clock.advance(MINUTE);
    const [before, sent] = [hosts.changes[0], hosts.sent.length];
    const [victim, liar] = [Ip.parse('10.3.1.0'), Ip.parse('10.3.2.0')];
    for (let time = 0; time < 600; time++) {
      hosts.meshes[0]?.receive(liar, encodeSuspects('ipv4', [victim, Ip.parse('10.3.77.0'), liar]));
      hosts.meshes[0]?.receive(Ip.parse('10.9.9.9'), encodeSuspects('ipv4', [victim]));
      await hosts.clock.advance(100);
    }
    assert.equal(hosts.changes[0], before);
    assert.ok(hosts.sent.length - sent <= PROBE_RATE * 60 + PROBE_BURST);
    const asked = new Set(hosts.sent.slice(sent).map(({ to }) => to));
    assert.equal(asked.size, 9, 'all are still asked');
  });

  test('goes with the peer', async t => {
    const hosts = new MeshHosts(t, 3).join();
    await hosts.clock.advance(MINUTE);
    hosts.dead.add(1);
    await hosts.clock.advance(5 * SECOND);
    hosts.meshes[0]?.set(keyOf(1), {});
    const sent = hosts.sent.length;
    await hosts.clock.advance(MINUTE);
    assert.equal(hosts.path(0, 1), undefined);
    assert.ok(!hosts.sent.slice(sent + 1).some(({ from, to }) => from === 0 && to === 1));
  });
});

test('hints survive the wire, and any bytes are read without a failure', () => {
  const address = fc.nat(0xffff_ffff).map(value => Ip.fromKey(value));
  fc.assert(
    fc.property(fc.array(address, { maxLength: 8 }), suspects => {
      const bytes = encodeSuspects('ipv4', suspects);
      assert.deepEqual(decodeSuspects('ipv4', bytes).map(String), suspects.map(String));
      assert.deepEqual(
        decodeSuspects('ipv4', bytes.subarray(0, -1)).length,
        Math.max(0, suspects.length - 1),
      );
    }),
  );
  fc.assert(
    fc.property(fc.constantFrom('ipv4', 'ipv6'), fc.uint8Array({ maxLength: 200 }), (family, bytes) => {
      decodeSuspects(family, bytes);
      bytes.set([0x74, 0x75, 0x4c, 0x31].slice(0, bytes.byteLength));
      assert.ok(decodeSuspects(family, bytes).length <= 8);
    }),
  );
});
