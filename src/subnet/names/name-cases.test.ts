import { describe, test } from 'node:test';
import { nameCases } from '../../../test/support/name-cases.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { MemoryDatabase } from '../../testing/memory-database.ts';
import { MemoryStore } from '../../testing/memory-store.ts';

describe('names on the store in memory', { timeout: 60_000 }, () => {
  for (const { name, run } of nameCases) {
    test(name, async () => {
      const database = new MemoryDatabase(new ManualClock());
      await run(() => new MemoryStore(database));
    });
  }
});
