import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Latest } from '../base/latest.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { keepMemorySmall, type ProcessMemory } from './memory-keeper.ts';

/** A process in which work leaves garbage, and whose code comes back when it is used. */
class FakeProcess implements ProcessMemory {
  used = 40e6;
  garbage = 0;
  free = 0;
  collections = 0;
  returns = 0;

  resident(): number {
    return this.used + this.garbage + this.free;
  }

  returnFree(): void {
    this.free = 0;
    this.returns++;
  }

  collectGarbage(): void {
    this.free += this.garbage;
    this.garbage = 0;
    this.collections++;
  }
}

let clock: ManualClock;
let memory: FakeProcess;
let work: Latest<number>;
let stop: AbortController;
let running: Promise<void>;

beforeEach(() => {
  clock = new ManualClock();
  memory = new FakeProcess();
  work = new Latest(0);
  stop = new AbortController();
  running = keepMemorySmall(work, clock, stop.signal, memory);
});

afterEach(async () => {
  stop.abort();
  await running;
});

const worked = () => work.set(work.value + 1);

describe('the memory of an agent', () => {
  test('goes down to what is used when the start is over', async () => {
    memory.garbage = 30e6;
    memory.free = 10e6;
    await clock.advance(6_000);
    assert.equal(memory.resident(), 40e6);
  });

  test('does not wait for the end of the work to give back what is free', async () => {
    memory.free = 30e6;
    await clock.advance(100);
    assert.equal(memory.resident(), 40e6);
    assert.equal(memory.collections, 0);
  });

  test('is left alone at work while there is little of it', async () => {
    await clock.advance(6_000);
    const before = memory.returns;
    worked();
    memory.free = 15e6;
    await clock.advance(4_000);
    assert.equal(memory.returns, before);
  });

  test('is collected after a burst, and not after a change that left nothing', async () => {
    await clock.advance(6_000);
    assert.equal(memory.collections, 1);
    worked();
    memory.garbage = 1e6;
    await clock.advance(6_000);
    assert.equal(memory.collections, 1);
    worked();
    memory.garbage = 5e6;
    await clock.advance(6_000);
    assert.equal(memory.collections, 2);
    assert.equal(memory.resident(), 40e6);
  });

  test('is collected when many small changes have left enough', async () => {
    await clock.advance(6_000);
    for (let change = 0; change < 5; change++) {
      worked();
      memory.garbage += 1e6;
      await clock.advance(6_000);
    }
    assert.equal(memory.collections, 2);
  });

  test('needs no timer when nothing happens', async () => {
    await clock.advance(6_000);
    assert.equal(clock.sleeping, 0);
    worked();
    await clock.advance(1);
    assert.equal(clock.sleeping, 1);
    await clock.advance(6_000);
    assert.equal(clock.sleeping, 0);
  });
});
