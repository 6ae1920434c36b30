import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { ConditionName } from '../../api/status.ts';
import { recordingLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { EventLog } from './event-log.ts';
import { Health } from './health.ts';

const ALL: readonly ConditionName[] = [
  'underlay',
  'store',
  'config',
  'lease',
  'dataplane',
  'firewall',
  'subnet-file',
  'state',
];

let clock: ManualClock;
let events: EventLog;
let health: Health;

beforeEach(() => {
  clock = new ManualClock();
  events = new EventLog({ clock, logger: recordingLogger() });
  health = new Health(clock, events);
});

const allWell = () => {
  for (const name of ALL) health.report(name);
};
const brief = () => {
  const { state, reason, ready } = health.summary.value;
  return `${state}${ready ? ' (ready)' : ''}${reason === undefined ? '' : `: ${reason}`}`;
};

describe('the state of the agent', () => {
  test('is starting until a part says what is wrong', () => {
    assert.equal(brief(), 'starting: not checked yet');
    health.report('store');
    assert.equal(brief(), 'starting: not checked yet');
    health.report('config', { code: 'NO_CONFIG', reason: 'no configuration at /x/config' });
    assert.equal(brief(), 'waiting: no configuration at /x/config');
  });

  test('is ready when every part is ok', () => {
    allWell();
    assert.equal(brief(), 'ready (ready)');
  });

  test('stays ready without the store, and says so', () => {
    allWell();
    health.report('store', { code: 'STORE_UNAVAILABLE', reason: 'connection refused' });
    assert.equal(brief(), 'degraded (ready): connection refused');
  });

  test('names the store when that is why the configuration is missing', () => {
    health.report('store', { code: 'STORE_UNAVAILABLE', reason: 'connection refused' });
    health.report('config', { code: 'NO_CONFIG', reason: 'not known yet' });
    assert.equal(brief(), 'waiting: connection refused');
  });

  test('I3: names the underlay before the store that is lost with it', () => {
    allWell();
    health.report('store', { code: 'STORE_UNAVAILABLE', reason: 'connection refused' });
    health.report('lease', { code: 'STORE_UNAVAILABLE', reason: 'not renewed' });
    health.report('underlay', { code: 'NO_UNDERLAY', reason: 'eth0 has no address' });
    assert.equal(brief(), 'waiting: eth0 has no address');
  });

  test('I3: names a warning before the condition that it explains, and no other', () => {
    allWell();
    const cut = {
      id: 'eth0',
      code: 'NO_CARRIER',
      severity: 'error',
      title: 'no carrier',
      text: 't',
    } as const;
    health.warn('carrier', [{ ...cut, explains: 'store' }]);
    health.report('store', { code: 'STORE_UNAVAILABLE', reason: 'connection refused' });
    assert.equal(brief(), 'degraded (ready): no carrier');
    assert.deepEqual(Object.keys(health.warnings()[0] ?? {}), ['code', 'severity', 'title', 'text', 'since']);
    health.report('lease', { code: 'OUT_OF_SUBNETS', reason: 'no subnet is free' });
    health.report('store');
    assert.equal(brief(), 'waiting: no subnet is free');
  });

  test('I3: names an error before a warning', () => {
    allWell();
    const warning = { code: 'C', title: 'two hosts, one address', text: 't' };
    health.warn('peers', [{ ...warning, id: '1', severity: 'warning' }]);
    health.warn('forwarding', [{ ...warning, id: '1', severity: 'error', title: 'no forwarding' }]);
    assert.equal(brief(), 'degraded (ready): no forwarding');
  });

  // F7
  test('has the hint of the obstacle that there is now, and not of the former one', () => {
    allWell();
    for (const chain of ['raw PREROUTING', 'mangle OUTPUT']) {
      health.warn('firewall', [
        {
          id: chain,
          code: 'FIREWALL_OBSTACLE',
          severity: 'error',
          title: 'a rule stops the overlay',
          text: chain,
          hint: `look at ${chain}`,
        },
      ]);
      assert.equal(health.summary.value.hint, `look at ${chain}`);
    }
  });

  test('is not ready without a required part', () => {
    allWell();
    health.report('lease', { code: 'OUT_OF_SUBNETS', reason: 'no subnet is free' });
    assert.equal(brief(), 'waiting: no subnet is free');
  });

  test('is degraded by a warning and not by a remark', () => {
    allWell();
    const warning = { code: 'C', title: 'two hosts, one address', text: 't' };
    health.warn('peers', [{ ...warning, id: '1', severity: 'info' }]);
    assert.equal(brief(), 'ready (ready)');
    health.warn('peers', [{ ...warning, id: '1', severity: 'warning' }]);
    assert.equal(brief(), 'degraded (ready): two hosts, one address');
    health.warn('peers', []);
    assert.equal(brief(), 'ready (ready)');
  });

  test('is stopping whatever the parts say', () => {
    allWell();
    health.stopping();
    assert.equal(brief(), 'stopping');
  });
});

test('a condition keeps its time while only its words change', async () => {
  health.report('lease', { code: 'OUT_OF_SUBNETS', reason: 'try 1' });
  const { since } = health.conditions().find(({ name }) => name === 'lease') ?? {};
  await clock.advance(5000);
  health.report('lease', { code: 'OUT_OF_SUBNETS', reason: 'try 2' });
  const now = health.conditions().find(({ name }) => name === 'lease');
  assert.deepEqual([now?.since, now?.reason], [since, 'try 2']);
});

test('a change is one event', () => {
  allWell();
  health.report('store', { code: 'STORE_UNAVAILABLE', reason: 'refused' });
  health.report('store', { code: 'STORE_UNAVAILABLE', reason: 'refused again' });
  health.report('store');
  assert.deepEqual(
    events.list().map(({ text }) => text),
    [
      'the agent is ready',
      'store: refused',
      'the agent is degraded: refused',
      'store: recovered',
      'the agent is ready',
    ],
  );
});

test('each owner replaces its own warnings only', () => {
  const warning = { code: 'C', severity: 'warning', title: 't', text: 'x' } as const;
  health.warn('a', [{ ...warning, id: '1' }]);
  health.warn('b', [
    { ...warning, id: '1' },
    { ...warning, id: '2' },
  ]);
  health.warn('b', [{ ...warning, id: '2' }]);
  health.warn('a', []);
  assert.equal(health.warnings().length, 1);
  assert.deepEqual(
    events.list().map(({ type }) => type),
    ['warning', 'warning', 'warning', 'warning-ended', 'warning-ended'],
  );
});

test('an owner does not replace the warnings of one whose name begins with its own', () => {
  const warning = { id: '1', code: 'C', severity: 'warning', title: 't', text: 'x' } as const;
  health.warn('config-text', [warning]);
  health.warn('config', [{ ...warning, code: 'D' }]);
  health.warn('config', []);
  assert.deepEqual(
    health.warnings().map(({ code }) => code),
    ['C'],
  );
});
