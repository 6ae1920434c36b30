/** Whom this host asks for the size that passes, how often, and what becomes of the answers. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { silentLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import type { PathEntry, PeerPath } from '../../dataplane/desired.ts';
import type { ProbeResult } from '../../probe/prober.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { ProbeBudget } from '../probe-budget.ts';
import { pathMtuWarnings } from './path-mtu-warning.ts';
import { PathMtus } from './path-mtus.ts';
import { pathTargets, withSize } from './path-targets.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const OWN = { ipv4: Prefix.parse('10.3.50.0/24') };

const addressOf = (index: number) => Ip.parse('10.3.0.0').plus(index * 256);
const keyOf = (index: number) => `10.3.${index}.0-24`;

class Peers {
  readonly clock = new ManualClock();
  /** Milliseconds at which packets left. */
  readonly sent: number[] = [];
  readonly sources = new Set<string>();
  readonly changed: string[] = [];
  /** What passes to a peer that takes less than 1450 bytes, and whether the others are answered with an error. */
  readonly small = new Map<number, { readonly size: number; readonly isTold?: boolean }>();
  readonly silent = new Set<number>();
  readonly mtus: PathMtus;

  constructor(t: TestContext) {
    this.mtus = new PathMtus({
      prober: { probe: (to, { size = 0, source, timeout }) => this.#probe(to, size, source, timeout) },
      budget: new ProbeBudget(this.clock),
      clock: this.clock,
      logger: silentLogger,
      onChange: key => void this.changed.push(key),
    });
    this.mtus.setOwn(OWN);
    const stop = new AbortController();
    void this.mtus.run(stop.signal);
    t.after(() => stop.abort());
  }

  add(...indexes: number[]): void {
    for (const index of indexes) {
      this.mtus.set(keyOf(index), {
        ipv4: {
          to: addressOf(index),
          base: addressOf(index),
          underlay: addressOf(index),
          isOverlay: true,
          mtu: 1450,
        },
      });
    }
  }

  async #probe(to: Ip, size: number, source: Ip | undefined, timeout: number): Promise<ProbeResult> {
    this.sent.push(this.clock.monotonic());
    this.sources.add(`${source}`);
    const index = Number(to.toString().split('.')[2]);
    const { size: most = 1450, isTold = false } = this.small.get(index) ?? {};
    if (!this.silent.has(index) && size <= most) return { outcome: 'answered', ms: 1 };
    if (isTold) return { outcome: 'too big', mtu: most };
    await this.clock.sleep(timeout);
    return { outcome: 'silent' };
  }
}

describe('the size that passes', () => {
  test('is asked of each peer from the address of this host, at most four times a second however many there are', async t => {
    const peers = new Peers(t);
    peers.add(...Array.from({ length: 200 }, (_, index) => index + 1));
    await peers.clock.advance(10 * MINUTE);
    const gaps = peers.sent.slice(1).map((at, index) => at - (peers.sent[index] ?? 0));
    assert.ok(Math.min(...gaps) >= 250);
    assert.equal(peers.sent.length, 200 * 3, 'a good path costs three packets');
    assert.deepEqual([...peers.sources], ['10.3.50.0']);
    assert.deepEqual(peers.changed, []);
    assert.deepEqual(peers.mtus.small, []);
  });

  test('is found where more is lost without an error, and forgotten when that is over', async t => {
    const peers = new Peers(t);
    peers.small.set(7, { size: 1372 });
    peers.add(7, 8);
    await peers.clock.advance(MINUTE);
    assert.deepEqual(peers.mtus.small, [{ key: keyOf(7), family: 'ipv4', size: 1372, mtu: 1450 }]);
    assert.deepEqual(peers.mtus.sizes(keyOf(7)), { ipv4: 1372 });
    assert.deepEqual(peers.changed, [keyOf(7)]);
    peers.small.set(7, { size: 1300 });
    await peers.clock.advance(MINUTE);
    assert.deepEqual(peers.mtus.sizes(keyOf(7)), { ipv4: 1300 });
    peers.small.clear();
    await peers.clock.advance(MINUTE);
    assert.deepEqual(peers.mtus.small, []);
    assert.equal(peers.changed.length, 3);
  });

  test('is found of a path that was good', async t => {
    const peers = new Peers(t);
    peers.add(7);
    await peers.clock.advance(MINUTE);
    peers.small.set(7, { size: 1400 });
    await peers.clock.advance(12 * MINUTE);
    assert.deepEqual(peers.mtus.sizes(keyOf(7)), { ipv4: 1400 });
    assert.equal(peers.mtus.small.length, 1);
  });

  test('is no matter where the sender is told, and not known of a peer that never answers', async t => {
    const peers = new Peers(t);
    peers.small.set(7, { size: 1372, isTold: true });
    peers.silent.add(8);
    peers.add(7, 8);
    await peers.clock.advance(30 * MINUTE);
    assert.deepEqual(peers.mtus.small, []);
    assert.deepEqual(peers.changed, []);
  });

  test('stays known while a peer does not answer, and goes with the peer', async t => {
    const peers = new Peers(t);
    peers.small.set(7, { size: 1372 });
    peers.add(7);
    await peers.clock.advance(MINUTE);
    peers.silent.add(7);
    await peers.clock.advance(5 * MINUTE);
    assert.deepEqual(peers.mtus.sizes(keyOf(7)), { ipv4: 1372 });
    peers.mtus.set(keyOf(7), {});
    assert.deepEqual([peers.mtus.small, peers.changed.length], [[], 2]);
    const before = peers.sent.length;
    await peers.clock.advance(30 * MINUTE);
    assert.ok(peers.sent.length <= before + 1, 'who is gone is not asked');
  });
});

test('a peer is asked inside a tunnel, its host without one, and nobody where commands make the path', () => {
  const [subnet, underlayIp] = [Prefix.parse('10.3.81.0/24'), Ip.parse('192.0.2.4')];
  const path = (...entries: PathEntry[]): PeerPath => ({ link: 'x', subnet, underlayIp, entries });
  const route = { kind: 'route', destination: subnet } as const;
  const targetOf = (one: PeerPath) => {
    const { to, isOverlay } = pathTargets([one], 1450).ipv4 ?? {};
    return to && `${to} ${isOverlay}`;
  };
  assert.equal(targetOf(path({ ...route, gateway: subnet.ip, onlink: true })), '10.3.81.0 true');
  assert.equal(targetOf(path({ ...route, gateway: underlayIp, onlink: true })), '10.3.81.0 true', 'ipip');
  assert.equal(targetOf(path({ ...route, gateway: underlayIp })), '192.0.2.4 false');
  assert.equal(
    targetOf(path({ kind: 'tunnel', subnet, destination: underlayIp, port: 1 }, route)),
    '10.3.81.0 true',
  );
  assert.equal(targetOf(path({ kind: 'command', subnet })), undefined);
  assert.equal(targetOf(path()), undefined);

  const neighbor = { kind: 'neighbor', ip: subnet.ip, mac: undefined as never } as const;
  assert.deepEqual(withSize(path(neighbor, route), 1372).entries, [neighbor, { ...route, mtu: 1372 }]);
  assert.deepEqual(withSize(path(route), undefined), path(route));
});

test('the warning has the size, the peers and the remedy of the backend', () => {
  const small = [7, 8].map(index => ({ key: keyOf(index), family: 'ipv4', size: 1372, mtu: 1450 }) as const);
  const circumstances = {
    backend: { type: 'udp', overlayMtu: 1472 },
    underlay: { link: { index: 2, name: 'eth0', mtu: 1500 } },
    host: { links: [] },
  };
  const [warning, ...others] = pathMtuWarnings(small, circumstances);
  assert.deepEqual(others, []);
  assert.equal(
    warning?.text,
    'packets of up to 1372 bytes pass, and of 1373 to 1450 bytes not, to or from 10.3.7.0-24, 10.3.8.0-24; ' +
      'the routes to them carry 1372 bytes meanwhile',
  );
  assert.match(`${warning?.hint}`, /to that of eth0, 1500, or lower the MTU of eth0 to 1400 on every host$/);
});
