import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byReason } from './not-seen.ts';

test('things that were not read for one reason are one sentence', () => {
  const late = 'no result within 3 s';
  assert.deepEqual(
    byReason([
      `containers: ${late}`,
      'Docker: connect EACCES: no',
      `routing: ${late}`,
      'a sentence',
      'a sentence',
    ]),
    [`containers, routing: ${late}`, 'Docker: connect EACCES: no', 'a sentence'],
  );
});
