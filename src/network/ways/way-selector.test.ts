/**
 * Two hosts that select their ways to each other while these fail and recover at random, each direction for itself. The
 * echo of one goes there over its way and comes back over the way of the other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAY_TYPES, type WayType } from '../../backend/ways.ts';
import { seededRandom } from '../../testing/seeded-random.ts';
import { WaySelector } from './way-selector.ts';

const STEP = 250;
const TIMEOUT = 1_000;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const EPOCH = Date.UTC(2026, 0, 1);

interface SimulatedHost {
  readonly selector: WaySelector;
  /** Milliseconds that its clock is fast. */
  readonly skew: number;
  /** Drops what comes directly from an address that it would not reach directly (strict rp_filter). */
  readonly isStrict: boolean;
  /** Types that get from it to the other host. */
  readonly passes: Set<WayType>;
  nextEcho: number;
  readonly pending: { readonly type: WayType; readonly isAnswered: boolean; readonly due: number }[];
  readonly changes: {
    readonly at: number;
    readonly from: WayType;
    readonly to: WayType;
    readonly isForced: boolean;
  }[];
}

interface Setting {
  readonly types?: readonly WayType[];
  readonly skew?: number;
  readonly isStrict?: boolean;
  /** Minutes in which a way must be found. */
  readonly patience?: number;
}

class Pair {
  now = EPOCH;
  readonly hosts: readonly [SimulatedHost, SimulatedHost];
  readonly types: readonly WayType[];

  constructor(seed: number, { types = WAY_TYPES, skew = 0, isStrict = false }: Setting = {}) {
    const random = seededRandom(seed);
    const offset = Math.floor(random() * 64);
    this.types = types;
    const host = (own: number): SimulatedHost => ({
      selector: new WaySelector(types, offset, EPOCH + own, random),
      skew: own,
      isStrict,
      passes: new Set(types),
      nextEcho: EPOCH + random() * 2 * SECOND,
      pending: [],
      changes: [],
    });
    this.hosts = [host(0), host(skew)];
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += STEP) {
      for (const index of [0, 1] as const)
        this.#turn(this.hosts[index], this.hosts[1 - index] ?? assert.fail());
    }
  }

  /** Whether packets of containers get from each to the other. */
  get isConnected(): boolean {
    const [a, b] = this.hosts;
    const [ofA, ofB] = [a.selector.choice.inUse, b.selector.choice.inUse];
    return gets(a, ofA, b, ofB) && gets(b, ofB, a, ofA);
  }

  get inUse(): readonly WayType[] {
    return this.hosts.map(({ selector }) => selector.choice.inUse);
  }

  #turn(host: SimulatedHost, other: SimulatedHost): void {
    const { selector, pending } = host;
    const from = selector.choice.inUse;
    let isForced = selector.answers === false;
    for (let first = pending[0]; first !== undefined && first.due <= this.now; first = pending[0]) {
      pending.shift();
      selector.result(first.type, first.isAnswered, this.now);
      isForced ||= selector.answers === false;
    }
    selector.tick(this.now, this.now + host.skew);
    const to = selector.choice.inUse;
    if (from !== to) host.changes.push({ at: this.now, from, to, isForced });
    if (this.now < host.nextEcho || pending.length > 0) return;
    host.nextEcho = this.now + (selector.isUrgent ? SECOND / 2 : 2 * SECOND);
    const [mine, its] = [probed(selector), probed(other.selector)];
    const isAnswered = gets(host, mine, other, its) && gets(other, its, host, mine);
    pending.push({ type: mine, isAnswered, due: this.now + (isAnswered ? STEP : TIMEOUT) });
  }
}

const probed = ({ choice: { tried, inUse } }: WaySelector) => tried ?? inUse;

/** @param back the way by which the receiver would answer. */
const gets = (sender: SimulatedHost, type: WayType, receiver: SimulatedHost, back: WayType) =>
  sender.passes.has(type) && !(receiver.isStrict && type === 'direct' && back !== 'direct');

function pick<T>(values: readonly T[], random: () => number): T {
  return values[Math.floor(random() * values.length)] ?? assert.fail();
}

/** A host changes its way only after several lost echoes, and for a better one only when it has held the former a while. */
function assertCalm({ changes }: SimulatedHost, note: string): void {
  for (const [index, { at, from, to, isForced }] of changes.entries()) {
    const before = changes[index - 1]?.at;
    if (before === undefined) continue;
    const least = isForced ? 2 * SECOND : 10 * SECOND;
    assert.ok(at - before >= least, `${note}: ${from} to ${to} after ${at - before} ms`);
  }
}

const SETTINGS: Readonly<Record<string, Setting>> = {
  'three ways': { skew: 500 },
  'no udp': { types: ['direct', 'vxlan'] },
  'behind a router': { types: ['vxlan', 'udp'] },
  'strict rp_filter': { isStrict: true, skew: 400 },
  // They meet by chance only.
  'clocks that differ by 2 s': { skew: 2 * SECOND, patience: 300 },
  'clocks that differ by 4 s': { skew: 4 * SECOND, patience: 300 },
  'clocks that differ by an hour': { skew: 3_601_300, patience: 300 },
};

for (const [name, setting] of Object.entries(SETTINGS)) {
  test(`${name}: two hosts find a way that works in both directions, and come back to the best one`, () => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed * 7919);
      const pair = new Pair(seed, setting);
      for (let step = 0; step < 12; step++) {
        for (const { passes } of pair.hosts) {
          for (const type of pair.types) if (random() < 0.5) passes.delete(type);
        }
        // One works in both directions.
        const good = pick(pair.types, random);
        for (const { passes } of pair.hosts) passes.add(good);
        pair.run(random() * 3 * MINUTE);
        for (let waited = 0; !pair.isConnected; waited++) {
          assert.ok(
            waited < (setting.patience ?? 15),
            `seed ${seed} step ${step}: ${pair.inUse.join()} though ${good} works`,
          );
          pair.run(MINUTE);
        }
        if (random() < 0.4)
          for (const { passes } of pair.hosts) for (const type of pair.types) passes.add(type);
      }
      for (const { passes } of pair.hosts) for (const type of pair.types) passes.add(type);
      for (let waited = 0; pair.inUse.some(type => type !== pair.types[0]); waited++) {
        assert.ok(
          waited < (setting.patience ?? 15),
          `seed ${seed}: ${pair.inUse.join()} though all ways work`,
        );
        pair.run(MINUTE);
      }
      for (const host of pair.hosts) assertCalm(host, `seed ${seed}`);
    }
  });
}

test('a better way that fails again soon after each return is tried less and less often', () => {
  const pair = new Pair(3);
  const direct = (passes: boolean) => {
    for (const host of pair.hosts) {
      if (passes) host.passes.add('direct');
      else host.passes.delete('direct');
    }
  };
  for (const end = pair.now + 120 * MINUTE; pair.now < end; ) {
    pair.run(5 * SECOND);
    direct(pair.inUse.every(type => type !== 'direct'));
  }
  const returns = pair.hosts[0].changes.filter(({ to }) => to === 'direct').length;
  assert.ok(returns >= 5 && returns <= 30, `${returns} returns in two hours`);
});

test('a clock that is set back an hour delays nothing', () => {
  const selector = new WaySelector(WAY_TYPES, 0, 0, seededRandom(1));
  let wall = EPOCH;
  let now = 0;
  const run = (ms: number, works: readonly WayType[]) => {
    for (const end = now + ms; now < end; now += STEP, wall += STEP) {
      selector.tick(now, wall);
      const type = probed(selector);
      selector.result(type, works.includes(type), now);
    }
  };
  run(20 * SECOND, ['direct']);
  run(2 * SECOND, ['vxlan']);
  wall -= 3600 * SECOND;
  run(MINUTE, ['vxlan']);
  assert.equal(selector.choice.inUse, 'vxlan');
  wall -= 3600 * SECOND;
  run(5 * MINUTE, WAY_TYPES);
  assert.equal(selector.choice.inUse, 'direct');
});
