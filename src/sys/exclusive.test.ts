import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdName } from './exclusive.ts';

test('a name is held by one at a time, and free again afterwards', async () => {
  const name = `tt-${process.pid}`;
  {
    await using first = await holdName(name);
    assert.ok(first !== undefined);
    assert.equal(await holdName(name), undefined);
  }
  await using again = await holdName(name);
  assert.ok(again !== undefined);
});
