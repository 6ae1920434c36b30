import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { recordingLogger } from '../../base/log.ts';
import { Watchable } from '../../base/watchable.ts';
import type { Contact } from '../../store/cached-store.ts';
import { StoreError } from '../../store/store.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { EventLog } from './event-log.ts';
import { Health } from './health.ts';
import { StoreContact } from './store-contact.ts';

const HOUR = 3_600_000;

async function start(t: TestContext) {
  const clock = new ManualClock();
  const events = new EventLog({ clock, logger: recordingLogger() });
  const health = new Health(clock, events);
  const contact = new Watchable<Contact>({ connected: undefined, revision: 0n });
  let answers = 0;
  const watch = new StoreContact({ store: { contact }, clock, health, onAnswer: () => answers++ });
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  const set = async (connected: boolean, reason = 'connection refused') => {
    const error = new StoreError('UNAVAILABLE', reason, { hint: 'is it running?' });
    contact.set({ connected, revision: 0n, ...(connected ? {} : { error }) });
    await clock.advance(0);
  };
  await set(true);
  const reports = t.mock.method(health, 'report');
  const condition = () => health.conditions().find(({ name }) => name === 'store');
  return {
    clock,
    contact,
    watch,
    set,
    condition,
    reports,
    events: () => events.list(),
    answers: () => answers,
  };
}

test('an outage of a day is reported when it begins and when it ends, whatever the reasons in between', async t => {
  const { clock, watch, set, condition, events, answers } = await start(t);
  const before = events().length;
  await clock.advance(HOUR);
  const began = clock.now();
  await set(false);
  for (let minute = 0; minute < 24 * 60; minute++) {
    await clock.advance(60_000);
    await set(false, `reason ${minute % 7}`);
  }
  assert.equal(condition()?.since, new Date(began).toISOString());
  assert.equal(watch.since, began);
  assert.equal(condition()?.reason, `the store does not answer: reason ${(24 * 60 - 1) % 7}`);
  assert.equal(condition()?.hint, 'is it running?');
  await set(true);
  assert.equal(condition()?.ok, true);
  assert.equal(answers(), 2);
  const listed = events()
    .slice(before)
    .filter(({ type }) => type === 'condition');
  assert.deepEqual(
    listed.map(({ text }) => text),
    ['store: the store does not answer: connection refused', 'store: recovered'],
  );
});

test('a store that comes and goes each second for a day does not fill the log, and is ok once it stays', async t => {
  const { clock, set, condition, events, answers } = await start(t);
  for (let second = 0; second < 3600; second++) {
    await set(second % 2 === 1, 'connection reset');
    await clock.advance(1000);
  }
  assert.ok(events().length < 500, `${events().length} lines in the first hour`);
  const before = events().at(-1)?.id ?? 0;
  for (let second = 0; second < 3600; second++) {
    await set(second % 2 === 1, 'connection reset');
    await clock.advance(1000);
  }
  assert.equal((events().at(-1)?.id ?? 0) - before, 0, 'there is nothing new to report');
  assert.match(
    condition()?.reason ?? '',
    /^the store answers, but the connection was lost \d+ times in the last hour/,
  );
  assert.equal(answers(), 3601, 'who waits for the store learns it at once all the same');
  await clock.advance(59_000);
  assert.equal(condition()?.ok, true);
  assert.equal(events().at(-1)?.type, 'state');
});

test('contact that is lost now and then is ok at once when it is back', async t => {
  const { clock, set, condition } = await start(t);
  for (let round = 0; round < 100; round++) {
    await clock.advance(HOUR / 15);
    await set(false);
    assert.equal(condition()?.ok, false);
    await set(true);
    assert.equal(condition()?.ok, true);
  }
});

// G3: every lease of every host is a revision.
test('a new revision of the store is looked at by nobody', async t => {
  const { clock, contact, reports } = await start(t);
  const before = reports.mock.callCount();
  for (let revision = 1n; revision <= 20n; revision++) {
    contact.set({ connected: true, revision });
    await clock.advance(0);
  }
  assert.equal(reports.mock.callCount(), before);
});
