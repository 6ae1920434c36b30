import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { recordingLogger } from '../base/log.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { IdleFlows } from './idle-flows.ts';
import { decodeFlow, FLOW_KEY, FLOW_LAYOUT } from './programs/layout.ts';

const MINUTE = 60_000_000_000n;
const NOW = 10n * MINUTE;

function flow(
  localPort: number,
  { protocol = 6, sentUntil = NOW - MINUTE, deliveredUntil = NOW - 2n * MINUTE, sentPackets = 5n } = {},
) {
  const [local, remote] = [Ip.parse('10.3.5.2').key as number, Ip.parse('10.3.6.7').key as number];
  const key = FLOW_KEY.encode({ local, remote, localPort, remotePort: 80, protocol });
  return decodeFlow(key, FLOW_LAYOUT.encode({ sentUntil, deliveredUntil, sentPackets }));
}

function lookAt(flows: ReturnType<typeof flow>[]) {
  const asked: string[] = [];
  const log = recordingLogger();
  const clock = new ManualClock();
  let failure: Error | undefined;
  const idle = new IdleFlows({
    flows: () => flows,
    conntrack: {
      async keepIdle({ source, sourcePort, destination, destinationPort }, seconds) {
        if (failure) throw failure;
        asked.push(`${source}:${sourcePort} ${destination}:${destinationPort} ${seconds}`);
        return true;
      },
    },
    timeout: () => 432_000,
    clock,
    log,
    now: () => NOW,
  });
  const look = () => idle.look(new AbortController().signal);
  return { idle, look, asked, log, clock, fail: (error?: Error) => (failure = error) };
}

test('a TCP flow whose packets took the fast path is given its time when it is idle, once', async () => {
  const flows = [
    flow(1),
    flow(2, { sentUntil: NOW }),
    flow(3, { protocol: 17 }),
    flow(4, { sentPackets: 0n }),
    flow(5, { sentUntil: 0n, deliveredUntil: 0n }),
  ];
  const { look, asked } = lookAt(flows);
  assert.equal(await look(), 1);
  assert.deepEqual(asked, ['10.3.5.2:1 10.3.6.7:80 432000']);
  assert.equal(await look(), 0);
  flows[0] = flow(1, { sentUntil: NOW - MINUTE + 1n });
  assert.equal(await look(), 1, 'it was busy again meanwhile');
});

test('nothing is asked where nothing is tracked', async () => {
  const untracked = new IdleFlows({
    flows: () => assert.fail('they are not looked at'),
    conntrack: { keepIdle: () => assert.fail('it is not asked') },
    timeout: () => undefined,
    clock: new ManualClock(),
    log: recordingLogger(),
  });
  assert.equal(await untracked.look(new AbortController().signal), 0);
});

test('it looks each minute, and says once that it cannot', async () => {
  const { idle, asked, log, clock, fail } = lookAt([flow(1)]);
  const stop = new AbortController();
  const running = idle.run(stop.signal);
  fail(new Error('EPERM'));
  await clock.advance(60_000);
  await clock.advance(60_000);
  assert.equal(log.records.length, 1);
  fail();
  await clock.advance(60_000);
  assert.equal(asked.length, 1);
  stop.abort();
  await running;
});
