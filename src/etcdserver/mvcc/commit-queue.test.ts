import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { CommitQueue, PartialWriteError, type Transactional } from './commit-queue.ts';

/** A disk whose writes end when the test says so, and which records them. */
class FakeStore implements Transactional {
  readonly calls: string[] = [];
  readonly flushes: PromiseWithResolvers<void>[] = [];
  failCommit = false;

  begin(): void {
    this.calls.push('begin');
  }
  commit(): void {
    if (this.failCommit) throw new Error('disk full');
    this.calls.push('commit');
  }
  rollback(): void {
    this.calls.push('rollback');
  }
  flush(): Promise<void> {
    this.calls.push('flush');
    const flush = Promise.withResolvers<void>();
    this.flushes.push(flush);
    return flush.promise;
  }
  flushNow(): void {
    this.calls.push('flush now');
  }
}

function setUp() {
  const store = new FakeStore();
  const log: string[] = store.calls;
  const queue = new CommitQueue(store, {
    onCommit: () => () => log.push('published'),
    onRollback: () => log.push('reload'),
    onDiskFailed: ({ code }) => log.push(code),
  });
  const write = (name: string) =>
    queue
      .write(() => {
        log.push(name);
        return name;
      })
      .then(() => log.push(`${name} answered`));
  return { store, log, queue, write };
}

test('requests of one turn share a transaction, and are answered after the flush', async () => {
  const { log, write } = setUp();
  await Promise.all([write('a'), write('b')]);
  assert.deepEqual(log, ['begin', 'a', 'b', 'commit', 'flush now', 'published', 'a answered', 'b answered']);
});

test('the next group runs during a flush, and is answered by the next one', async () => {
  const { store, log, write } = setUp();
  const first = Promise.all(['a', 'b', 'c', 'd', 'e'].map(write));
  await setImmediate();
  assert.deepEqual(log.slice(-2), ['commit', 'flush'], 'a larger group is flushed in another thread');
  const second = write('f');
  await setImmediate();
  assert.deepEqual(log.slice(-3), ['begin', 'f', 'commit']);
  store.flushes[0]?.resolve();
  await first;
  assert.equal(log.includes('f answered'), false);
  await setImmediate();
  store.flushes[1]?.resolve();
  await second;
  assert.equal(store.flushes.length, 2);
});

test('a read waits for the disk only when it may have seen what is not on it', async () => {
  const { store, log, queue, write } = setUp();
  assert.equal(await queue.read(() => 'quick'), 'quick');
  assert.deepEqual(log, [], 'a read alone needs no transaction');
  const writes = Promise.all(['a', 'b', 'c', 'd', 'e'].map(write));
  await setImmediate();
  let answered = false;
  const read = queue.read(() => 'after').then(() => (answered = true));
  await setImmediate();
  await setImmediate();
  assert.equal(answered, false);
  store.flushes[0]?.resolve();
  await Promise.all([writes, read]);
});

test('a refusal is the answer of one job and touches no other', async () => {
  const { queue, log } = setUp();
  const refused = queue.write(() => {
    throw new RangeError('no');
  });
  const done = queue.write(() => 'yes');
  await assert.rejects(refused, RangeError);
  assert.equal(await done, 'yes');
  assert.ok(log.includes('commit'));
});

test('a job that fails half way, and a commit that fails, undo the whole group', async () => {
  const { store, queue, log } = setUp();
  const innocent = queue.write(() => 'x');
  const half = queue.write(() => {
    throw new PartialWriteError('defect');
  });
  await assert.rejects(innocent, PartialWriteError);
  await assert.rejects(half, PartialWriteError);
  assert.deepEqual(log.slice(-2), ['rollback', 'reload']);

  store.failCommit = true;
  await assert.rejects(
    queue.write(() => 'x'),
    /disk full/,
  );
  store.failCommit = false;
  assert.equal(await queue.write(() => 'again'), 'again');
});

test('after a flush that failed nothing is believed any more', async () => {
  const { store, log, queue, write } = setUp();
  const writes = Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map(write));
  await setImmediate();
  store.flushes[0]?.reject(new Error('EIO'));
  assert.ok((await writes).every(({ status }) => status === 'rejected'));
  assert.equal(log.at(-1), 'DISK_FAILED');
  await assert.rejects(
    queue.read(() => 'x'),
    /no longer write to its disk/,
  );
});

test('a job that wants to be alone has no transaction around it', async () => {
  const { store, queue, log, write } = setUp();
  const all = Promise.all([write('a'), queue.alone(() => log.push('alone')), write('b')]);
  for (let turn = 0; turn < 5; turn++) {
    await setImmediate();
    for (const flush of store.flushes) flush.resolve();
  }
  await all;
  const steps = log.filter(step => ['begin', 'commit', 'a', 'alone', 'b'].includes(step));
  assert.deepEqual(steps, ['begin', 'a', 'commit', 'alone', 'begin', 'b', 'commit']);
});
