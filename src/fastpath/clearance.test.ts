import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type LogRecord, recordingLogger } from '../base/log.ts';
import { NetlinkError } from '../netlink/errors.ts';
import type { Conntrack } from '../netlink/netfilter/connect-conntrack.ts';
import type { ConnectionTuple } from '../netlink/netfilter/conntrack.ts';
import { Clearance } from './clearance.ts';
import { FLOW_KEY, MAPS } from './programs/layout.ts';

const ERRNO = { ENOENT: 2, EPERM: 1, EINVAL: 22 } as const;
type Answer = keyof typeof ERRNO | 'yes';

const keyOf = (localPort: number) =>
  FLOW_KEY.encode({ local: 0x0a030502, remote: 0x0a030607, localPort, remotePort: 80, protocol: 6 });

/** A clearance between a ring buffer and maps in memory, and a kernel that gives the answer of the moment. */
function inMemory({ isTracking = true } = {}) {
  const records: Uint8Array[] = [];
  const cleared = new Map<string, Uint8Array>();
  const asked: ConnectionTuple[][] = [];
  const logged: LogRecord[] = [];
  let answer: Answer | ((tuple: ConnectionTuple) => Answer) = 'yes';
  let arrived = Promise.withResolvers<void>();
  let isClosed = false;
  const conntrack: Conntrack = {
    async acceptAnyWindow(tuples) {
      asked.push([...tuples]);
      return tuples.map(tuple => {
        const given = typeof answer === 'string' ? answer : answer(tuple);
        return given === 'yes' ? undefined : new NetlinkError('IPCTNL_MSG_CT_NEW', 'accept', ERRNO[given]);
      });
    },
    keepIdle: async () => false,
    async [Symbol.asyncDispose]() {
      isClosed = true;
    },
  };
  const clearance = new Clearance({
    unproven: {
      take: most => records.splice(0, most),
      async readable(signal) {
        const { promise, reject } = Promise.withResolvers<void>();
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        await Promise.race([arrived.promise, promise]);
        arrived = Promise.withResolvers();
      },
    },
    cleared: { options: MAPS.cleared, set: (key, value) => cleared.set(String(key), value) },
    conntrack,
    isTracking: () => isTracking,
    log: recordingLogger(logged),
  });
  return {
    clearance,
    cleared,
    asked,
    logged,
    isClosed: () => isClosed,
    answerWith: (next: typeof answer) => (answer = next),
    /** Records arrive; returns when they have been dealt with. */
    async ask(...ports: number[]) {
      records.push(...ports.map(keyOf));
      const wanted = clearance.counts.asked + ports.length;
      arrived.resolve();
      while (clearance.counts.asked < wanted) await setImmediate();
      await setImmediate();
    },
  };
}

test('a flow is cleared when any window of it is accepted, and when nobody tracks it', async () => {
  const { clearance, cleared, asked, answerWith, ask, logged } = inMemory();
  await using _ = clearance;
  answerWith(({ sourcePort }) => (sourcePort === 2 ? 'ENOENT' : 'yes'));
  await ask(1, 2);
  const [tuple] = asked[0] ?? [];
  assert.equal(
    `${tuple?.source}:${tuple?.sourcePort} ${tuple?.destination}:${tuple?.destinationPort}`,
    '10.3.5.2:1 10.3.6.7:80',
  );
  assert.deepEqual([...cleared.keys()], [keyOf(1), keyOf(2)].map(String));
  assert.deepEqual([...cleared.values()], [Uint8Array.of(1, 0, 0, 0), Uint8Array.of(1, 0, 0, 0)]);
  assert.deepEqual(clearance.counts, { asked: 2, cleared: 1, untracked: 1, failed: 0 });
  assert.deepEqual(logged, []);
});

test('what is refused stays on the normal path, which is said once, and that it is over', async () => {
  const { clearance, cleared, answerWith, ask, logged } = inMemory();
  await using _ = clearance;
  answerWith('EPERM');
  await ask(1);
  await ask(2, 3);
  assert.equal(cleared.size, 0);
  assert.match(clearance.obstacle ?? '', /connection tracking cannot be told .* \(EPERM\)$/);
  answerWith(({ sourcePort }) => (sourcePort === 4 ? 'EPERM' : 'yes'));
  await ask(4, 5);
  assert.deepEqual([...cleared.keys()], [String(keyOf(5))]);
  assert.equal(clearance.obstacle, undefined);
  assert.deepEqual(clearance.counts, { asked: 5, cleared: 1, untracked: 0, failed: 4 });
  assert.deepEqual(
    logged.map(({ message }) => message),
    ['TCP stays on the normal path', 'TCP may take the fast path'],
  );
});

for (const isTracking of [false, true])
  test(`a kernel without ctnetlink that ${isTracking ? 'tracks all the same clears nothing' : 'tracks nothing clears all'}`, async () => {
    const { clearance, cleared, answerWith, ask } = inMemory({ isTracking });
    await using _ = clearance;
    answerWith('EINVAL');
    await ask(1);
    assert.equal(cleared.size, isTracking ? 0 : 1);
    assert.equal(clearance.obstacle === undefined, !isTracking);
  });

test('a flow that asked several times is asked for once', async () => {
  const { clearance, asked, ask } = inMemory();
  await using _ = clearance;
  await ask(1, 2, 1, 1);
  assert.deepEqual(
    asked.map(tuples => tuples.map(({ sourcePort }) => sourcePort)),
    [[1, 2]],
  );
});

test('between a flood of flows everything else gets its turn', async () => {
  const { clearance, cleared, asked, ask } = inMemory();
  await using _ = clearance;
  let turns = 0;
  let isOver = false;
  const others = (async () => {
    for (; !isOver; turns++) await setImmediate();
  })();
  await ask(...Array.from({ length: 10_000 }, (_, port) => port));
  isOver = true;
  await others;
  assert.equal(cleared.size, 10_000);
  assert.ok(asked.every(tuples => tuples.length <= 128));
  assert.ok(turns >= asked.length, `${turns} turns in ${asked.length} pieces`);
});

test('it ends while it waits', async () => {
  const { clearance, ask, isClosed, logged } = inMemory();
  await ask(1);
  await clearance[Symbol.asyncDispose]();
  assert.ok(isClosed());
  assert.deepEqual(logged, []);
});
