import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { EventLog } from './event-log.ts';

const open = (capacity?: number) => {
  const logger = recordingLogger();
  const log = new EventLog({
    clock: new ManualClock(),
    logger,
    ...(capacity === undefined ? {} : { capacity }),
  });
  return { log, logger };
};

test('what is an event is also in the log, at its level', () => {
  const { log, logger } = open();
  log.add('warning', 'drift-repaired', 'route 10.3.2.0/24 restored', { object: 'route' });
  assert.deepEqual(logger.records, [
    {
      level: 'warn',
      fields: { object: 'route', event: 'drift-repaired' },
      message: 'route 10.3.2.0/24 restored',
    },
  ]);
});

test('keeps the newest', () => {
  const { log } = open(3);
  for (let index = 1; index <= 5; index++) log.add('info', 'state', `event ${index}`);
  assert.deepEqual(
    log.list().map(({ id }) => id),
    [3, 4, 5],
  );
  assert.deepEqual(
    log.list(4).map(({ id }) => id),
    [5],
  );
});

test('a flood of one type leaves what is rare', () => {
  const { log } = open(10);
  log.add('warning', 'lease-lost', 'ours');
  log.add('info', 'state', 'degraded');
  for (let index = 0; index < 100; index++) log.add('warning', 'lease-rejected', `lease ${index}`);
  const texts = log.list().map(({ text }) => text);
  assert.deepEqual(texts.slice(0, 3), ['ours', 'degraded', 'lease 92']);
  assert.equal(texts.length, 10);
  assert.deepEqual(
    log.newest('lease-rejected', 2).map(({ text }) => text),
    ['lease 99', 'lease 98'],
  );
});

test('a follower gets what was, then what comes, without gap or repetition', async () => {
  const { log } = open();
  log.add('info', 'state', 'one');
  log.add('info', 'state', 'two');
  const stop = new AbortController();
  const seen: string[] = [];
  for await (const { text } of log.follow(1, stop.signal)) {
    seen.push(text);
    if (seen.length < 4) log.add('info', 'state', `after ${text}`);
    else stop.abort();
  }
  assert.deepEqual(seen, ['two', 'after two', 'after after two', 'after after after two']);
});

test('nothing is kept for a follower who does not keep up', async () => {
  const { log } = open();
  const follower = log.follow(0, new AbortController().signal);
  log.add('info', 'state', 'one');
  assert.equal((await follower.next()).value?.id, 1);
  for (let index = 0; index < 1000; index++) log.add('info', 'state', `later ${index}`);
  const kept = log.list().map(({ id }) => id);
  const yielded: (number | undefined)[] = [];
  for (const _ of kept) yielded.push((await follower.next()).value?.id);
  assert.deepEqual(yielded, kept);
  await follower.return();
});
