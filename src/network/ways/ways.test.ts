/** Whom this host asks, how often, and what becomes of the answers. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { PeerWays, WayType } from '../../backend/ways.ts';
import { Ip } from '../../base/ip.ts';
import { silentLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import type { PeerPath } from '../../dataplane/desired.ts';
import type { ProbeResult } from '../../probe/prober.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { lease } from '../../testing/network/overlay-harness.ts';
import { ProbeBudget } from '../probe-budget.ts';
import { type WayMove, Ways } from './ways.ts';

const SECOND = 1_000;

function waysTo(index: number, types: readonly WayType[] = ['direct', 'vxlan', 'udp']): PeerWays {
  const subnet = Prefix.of(Ip.parse('10.3.0.0').plus(index * 256), 24);
  const path = (link: string): PeerPath => ({
    link,
    subnet,
    underlayIp: Ip.parse('192.0.2.0').plus(index),
    entries: [{ kind: 'route', destination: subnet }],
  });
  const paths = Object.fromEntries(types.map(type => [type, path(type)]));
  const obstacles = types.includes('direct') ? {} : { direct: 'it is behind a router' };
  return {
    subnet,
    paths: { vxlan: path('vxlan'), ...paths },
    obstacles,
    names: { direct: 'A', vxlan: 'B', udp: 'C' },
  };
}

const keyOf = (index: number) => `10.3.${index}.0-24`;

class Peers {
  readonly clock = new ManualClock();
  /** Addresses that were asked, one after the other. */
  readonly asked: string[] = [];
  readonly moves: WayMove[] = [];
  readonly changed: string[] = [];
  /** Those that do not answer over a way. */
  readonly silent = new Map<number, readonly WayType[]>();
  refusal: Error | undefined;
  readonly ways: Ways;

  constructor(t: TestContext) {
    this.ways = new Ways({
      prober: { probe: (to, { source, timeout }) => this.#probe(to, source, timeout) },
      budget: new ProbeBudget(this.clock),
      clock: this.clock,
      logger: silentLogger,
      onChange: key => void this.changed.push(key),
      onMove: move => void this.moves.push(move),
    });
    this.ways.setOwn(lease('10.3.250.0-24'));
    const stop = new AbortController();
    void this.ways.run(stop.signal);
    t.after(() => stop.abort());
  }

  add(...indices: readonly number[]): this {
    for (const index of indices) this.ways.set(keyOf(index), { ipv4: waysTo(index) });
    return this;
  }

  wayTo(index: number): WayType | undefined {
    return this.ways.chosen(keyOf(index)).ipv4?.inUse;
  }

  async #probe(to: Ip, source: Ip | undefined, timeout: number): Promise<ProbeResult> {
    if (this.refusal !== undefined) throw this.refusal;
    assert.equal(source?.toString(), '10.3.250.0');
    this.asked.push(to.toString());
    const index = Number(to.toString().split('.')[2]);
    const { inUse, tried = inUse } = this.ways.chosen(keyOf(index)).ipv4 ?? assert.fail();
    const isSilent = this.silent.get(index)?.includes(tried) === true;
    await this.clock.sleep(isSilent ? timeout : 5);
    return isSilent ? { outcome: 'silent' } : { outcome: 'answered', ms: 5 };
  }
}

const range = (count: number) => Array.from({ length: count }, (_, index) => index);

test('a few peers are asked every two seconds, and of many four in a second', async t => {
  const few = new Peers(t).add(1, 2);
  await few.clock.advance(20 * SECOND);
  assert.ok(few.asked.length >= 16 && few.asked.length <= 22, `${few.asked.length}`);
  const many = new Peers(t).add(...range(200));
  await many.clock.advance(50 * SECOND);
  assert.ok(many.asked.length <= 201, `${many.asked.length}`);
  assert.equal(
    new Set(many.asked).size,
    Math.min(200, many.asked.length),
    'nobody twice before everybody was asked',
  );
});

test('without peers that leave a choice nothing wakes up', async t => {
  const peers = new Peers(t);
  await peers.clock.advance(60 * SECOND);
  assert.equal(peers.clock.sleeping, 0);
  peers.add(1);
  await peers.clock.advance(3 * SECOND);
  assert.ok(peers.asked.length > 0);
  peers.ways.set(keyOf(1), {});
  await peers.clock.advance(3 * SECOND);
  assert.equal(peers.clock.sleeping, 0);
});

test('a peer that does not answer over its way is reached over the next one, and the move says why', async t => {
  const peers = new Peers(t).add(1, 2);
  await peers.clock.advance(20 * SECOND);
  peers.silent.set(1, ['direct']);
  await peers.clock.advance(12 * SECOND);
  assert.deepEqual([peers.wayTo(1), peers.wayTo(2)], ['vxlan', 'direct']);
  assert.deepEqual(new Set(peers.changed), new Set([keyOf(1)]));
  const [move] = peers.moves;
  assert.deepEqual([move?.key, move?.before, move?.status.inUse], [keyOf(1), 'direct', 'vxlan']);
  const { ipv4 } = peers.ways.status(keyOf(1));
  assert.equal(ipv4?.answers, true);
  assert.ok(ipv4?.others.find(({ type }) => type === 'direct')?.failedSince !== undefined);
  peers.silent.clear();
  await peers.clock.advance(120 * SECOND);
  assert.deepEqual([peers.wayTo(1), peers.moves.length], ['direct', 2]);
});

test('one in trouble among hundreds waits for its turn once, and is decided then', async t => {
  const peers = new Peers(t).add(...range(200));
  await peers.clock.advance(60 * SECOND);
  peers.silent.set(7, ['direct']);
  await peers.clock.advance(70 * SECOND);
  assert.equal(peers.wayTo(7), 'vxlan');
});

test('many in trouble take no more echoes, and not those of the others', async t => {
  const peers = new Peers(t).add(...range(40));
  await peers.clock.advance(20 * SECOND);
  for (const index of range(30)) peers.silent.set(index, ['direct', 'vxlan']);
  peers.asked.length = 0;
  await peers.clock.advance(400 * SECOND);
  assert.ok(peers.asked.length <= 1_600, `${peers.asked.length}`);
  assert.ok(peers.asked.filter(address => address === '10.3.35.0').length >= 5);
  assert.deepEqual(new Set(range(30).map(index => peers.wayTo(index))), new Set(['udp']));
  assert.deepEqual(new Set(range(10).map(index => peers.wayTo(30 + index))), new Set(['direct']));
});

test('one that is well is asked while all others are in trouble', async t => {
  const peers = new Peers(t);
  for (const index of range(40)) peers.silent.set(index, ['direct', 'vxlan', 'udp']);
  peers.add(...range(41));
  await peers.clock.advance(20 * SECOND);
  peers.asked.length = 0;
  await peers.clock.advance(60 * SECOND);
  assert.ok(peers.asked.includes('10.3.40.0'));
});

test('a peer that answers over no way stays with vxlan, and says since when', async t => {
  const peers = new Peers(t);
  peers.silent.set(1, ['direct', 'vxlan', 'udp']);
  peers.add(1);
  await peers.clock.advance(600 * SECOND);
  assert.equal(peers.wayTo(1), 'vxlan');
  const { ipv4 } = peers.ways.status(keyOf(1));
  assert.equal(ipv4?.answers, false);
  assert.equal(ipv4?.silentSince, new Date(peers.clock.now() - 600 * SECOND).toISOString());
});

test('what is not possible any more is left at once, and what is possible again is tried', async t => {
  const peers = new Peers(t).add(1);
  await peers.clock.advance(20 * SECOND);
  peers.ways.set(keyOf(1), { ipv4: waysTo(1, ['vxlan', 'udp']) });
  assert.equal(peers.wayTo(1), 'vxlan');
  const direct = peers.ways.status(keyOf(1)).ipv4?.others.find(({ type }) => type === 'direct');
  assert.equal(direct?.obstacle, 'it is behind a router');
  peers.add(1);
  assert.equal(peers.wayTo(1), 'vxlan');
  await peers.clock.advance(90 * SECOND);
  assert.equal(peers.wayTo(1), 'direct');
});

test('an echo that cannot be sent says nothing about the peer', async t => {
  const peers = new Peers(t).add(1);
  await peers.clock.advance(20 * SECOND);
  peers.refusal = new Error('EADDRNOTAVAIL');
  await peers.clock.advance(60 * SECOND);
  assert.deepEqual([peers.wayTo(1), peers.ways.status(keyOf(1)).ipv4?.answers], ['direct', true]);
});

test('a lease that is written again with the same ways changes nothing', async t => {
  const peers = new Peers(t).add(1);
  peers.silent.set(1, ['direct']);
  for (const _ of range(30)) {
    await peers.clock.advance(SECOND);
    peers.add(1);
  }
  assert.equal(peers.wayTo(1), 'vxlan');
});
