/** I9: a peer that comes or goes is an event. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { EventLog } from '../agent/health/event-log.ts';
import { Ip } from '../base/ip.ts';
import { recordingLogger } from '../base/log.ts';
import { byFamily } from '../base/per-family.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { lease } from '../testing/network/overlay-harness.ts';
import { PeerMapper } from './peer-mapper.ts';
import { PeerMoves } from './peer-report.ts';

const host = (number: number, changes: object = {}) => ({
  ...lease(`10.${number >> 8}.${number & 255}.0-24`),
  attributes: {
    hostName: `docker${number}`,
    publicIp: byFamily(Ip.parse(`192.0.2.${number & 127}`)),
    ...changes,
  },
});

function setUp(t: TestContext) {
  const clock = new ManualClock();
  const events = new EventLog({ clock, logger: recordingLogger() });
  const moves = new PeerMoves({ clock, events });
  const target = { setPeer: () => undefined, setPeers: () => undefined, removePeer: () => undefined };
  const book = new PeerMapper({ ...target, peerReport: () => undefined }, () => undefined);
  const stop = new AbortController();
  t.after(() => stop.abort());
  void moves.run(stop.signal);
  return {
    clock,
    change: async (changed: ReturnType<typeof host>[], gone: readonly string[] = []) => {
      moves.add(book.change(changed, gone));
      await setImmediate();
    },
    texts: () => events.list().map(({ type, text }) => `${type}: ${text}`),
    facts: () => events.list().map(({ fields }) => fields),
  };
}

describe('I9: peers', () => {
  test('that join, change and leave are events one by one', async t => {
    const { change, texts, facts, clock } = setUp(t);
    await change([host(7)]);
    await change([host(7)]);
    await clock.advance(1000);
    await change([host(7, { publicIp: byFamily(Ip.parse('192.0.2.99')) })]);
    await clock.advance(1000);
    await change([], [host(7).key]);
    assert.deepEqual(texts(), [
      'peer-added: docker7 joined: 10.0.7.0/24 at 192.0.2.7',
      'peer-changed: docker7 changed: 10.0.7.0/24 at 192.0.2.99',
      'peer-removed: docker7 left: 10.0.7.0/24 at 192.0.2.99',
    ]);
    assert.deepEqual(facts()[0], { key: '10.0.7.0-24', host: 'docker7', addresses: '192.0.2.7' });
  });

  test('that come by thousands are one event a second', async t => {
    const { change, texts, facts, clock } = setUp(t);
    await change(Array.from({ length: 5000 }, (_, number) => host(number)));
    for (let number = 5000; number < 5100; number++) await change([host(number)]);
    assert.equal(texts().length, 1);
    await clock.advance(1000);
    assert.equal(texts().length, 2);
    assert.match(
      texts()[0] ?? '',
      /^peer-added: 5,000 hosts joined: docker0 10\.0\.0\.0\/24, .* and 4,995 more$/,
    );
    assert.match(texts()[1] ?? '', /^peer-added: 100 hosts joined: docker5000 /);
    const keys = facts()[0]?.['keys'];
    assert.ok(Array.isArray(keys) && keys.length === 100);
  });

  test('of flannel have no name', async t => {
    const { change, texts } = setUp(t);
    await change([
      { ...host(7), attributes: { publicIp: byFamily(Ip.parse('192.0.2.7')) } } as ReturnType<typeof host>,
    ]);
    assert.deepEqual(texts(), ['peer-added: a flannel host joined: 10.0.7.0/24 at 192.0.2.7']);
  });
});
