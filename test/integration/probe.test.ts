import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { findPathMtu } from '../../src/probe/path-mtu.ts';
import { Prober } from '../../src/probe/prober.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';

const TIMEOUT = 2000;
/** Long enough for an answer over two cables of this machine, and short enough to be waited for often. */
const SHORT = 300;
/** The same where an answer that is late would be taken for none. */
const SEARCH = 1000;

/** near -- router -- far; what leaves the router for `far` has at most 1400 bytes. */
class Neighbours implements AsyncDisposable {
  readonly #names = ['near', 'router', 'far'].map(name => `tt-${name}-${randomBytes(3).toString('hex')}`);
  readonly near: Netns;

  private constructor() {
    const [near] = this.#names.map(name => Netns.create(name));
    this.near = near as Netns;
  }

  static async create(): Promise<Neighbours> {
    const made = new Neighbours();
    try {
      await made.#wire();
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** @param place 0 near, 1 router, 2 far. */
  async run(place: 0 | 1 | 2, ...words: string[]): Promise<void> {
    await run('ip', ['netns', 'exec', this.#names[place] ?? '', ...words]);
  }

  async #wire(): Promise<void> {
    const [near = '', router = '', far = ''] = this.#names;
    const lines = [
      `link add r0 netns ${router} type veth peer name eth0 netns ${near}`,
      `link add r1 netns ${router} type veth peer name eth0 netns ${far}`,
    ];
    for (const line of lines) await run('ip', line.split(' '));
    const batch = (place: 0 | 1 | 2, text: string) => this.run(place, 'sh', '-ec', text);
    await batch(
      1,
      `ip addr add 10.1.0.1/24 dev r0; ip addr add 10.2.0.1/24 dev r1; ip link set r0 up; ip link set r1 up mtu 1400
       ip -6 addr add fd01::1/64 dev r0 nodad; ip -6 addr add fd02::1/64 dev r1 nodad
       sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0`,
    );
    for (const [place, net] of [
      [0, 1],
      [2, 2],
    ] as const) {
      await batch(
        place,
        `ip link set lo up; ip link set eth0 up; ip addr add 10.${net}.0.2/24 dev eth0; ip route add default via 10.${net}.0.1
         ip -6 addr add fd0${net}::2/64 dev eth0 nodad; ip -6 route add default via fd0${net}::1`,
      );
    }
  }

  /** The kernel takes a moment to make links ready, those of IPv6 above all. */
  async untilAnswers(prober: Prober, far: Ip): Promise<void> {
    await eventually('the far host answers', async () => {
      const { outcome } = await prober.probe(far, { timeout: SHORT });
      return outcome === 'answered';
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.near[Symbol.dispose]();
    for (const name of this.#names) Netns.delete(name);
  }
}

test(
  'a prober says who answers, what is too large and for whom, and what has no way',
  needsRoot,
  async () => {
    await using neighbours = await Neighbours.create();
    using prober = new Prober(neighbours.near, systemClock);
    for (const [far, router, nowhere] of [
      ['10.2.0.2', '10.1.0.1', '10.3.0.1'],
      ['fd02::2', 'fd01::1', 'fd03::1'],
    ].map(texts => texts.map(Ip.parse)) as [Ip, Ip, Ip][]) {
      await neighbours.untilAnswers(prober, far);
      const whole = await prober.probe(far, { timeout: TIMEOUT, size: 1400 });
      assert.equal(whole.outcome, 'answered', JSON.stringify(whole));
      assert.deepEqual(await prober.probe(far, { timeout: TIMEOUT, size: 1401 }), {
        outcome: 'too big',
        mtu: 1400,
        from: router,
      });
      assert.deepEqual(await prober.probe(far, { timeout: TIMEOUT, size: 1501 }), { outcome: 'too big' });
      const lost = await prober.probe(nowhere, { timeout: TIMEOUT });
      assert.ok(lost.outcome === 'unreachable' && lost.from?.equals(router), JSON.stringify(lost));
      assert.equal((await prober.probe(far, { timeout: TIMEOUT, link: 'eth0' })).outcome, 'answered');
      assert.equal((await prober.probe(far, { timeout: SHORT, link: 'lo' })).outcome === 'answered', false);
      const own = router.plus(1);
      const fromOwn = await prober.probe(far, { timeout: TIMEOUT, source: own });
      assert.equal(fromOwn.outcome, 'answered', JSON.stringify(fromOwn));
      await assert.rejects(prober.probe(far, { timeout: TIMEOUT, source: far }), { code: 'EADDRNOTAVAIL' });
      assert.deepEqual(
        await findPathMtu(prober, far, { least: 68, most: 1500, timeout: TIMEOUT, tries: 1 }),
        { size: 1400, isBlackHole: false },
      );
    }
  },
);

test(
  'a link that drops what is too large without a word is found by the size that passes',
  needsRoot,
  async () => {
    await using neighbours = await Neighbours.create();
    using prober = new Prober(neighbours.near, systemClock);
    const far = Ip.parse('10.2.0.2');
    await neighbours.untilAnswers(prober, far);
    await neighbours.run(
      0,
      'nft',
      'add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in icmp type destination-unreachable drop',
    );
    assert.deepEqual(await findPathMtu(prober, far, { least: 68, most: 1500, timeout: SEARCH, tries: 2 }), {
      size: 1400,
      isBlackHole: true,
    });
  },
);

test('hundreds of addresses are asked at the same time', needsRoot, async () => {
  await using neighbours = await Neighbours.create();
  using prober = new Prober(neighbours.near, systemClock);
  await neighbours.run(2, 'ip', 'addr', 'add', '10.2.128.0/17', 'dev', 'lo');
  await neighbours.run(1, 'ip', 'route', 'add', '10.2.128.0/17', 'via', '10.2.0.2');
  const first = Ip.parse('10.2.128.1');
  await neighbours.untilAnswers(prober, first);
  const results = await Promise.all(
    Array.from({ length: 500 }, (_, index) => prober.probe(first.plus(index), { timeout: 30_000 })),
  );
  assert.equal(results.filter(({ outcome }) => outcome === 'answered').length, 500);
});
