import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCount, formatDuration, formatNumber } from './format.ts';
import { duration, list } from './options.ts';
import { formatJson } from './output.ts';

test('durations have at most two units', () => {
  for (const [ms, text] of [
    [0, '0 ms'],
    [1.26, '1.2 ms'],
    [999, '999 ms'],
    [1000, '1 s'],
    [59_999, '59.9 s'],
    [60_000, '1 min'],
    [250_400, '4 min 10 s'],
    [3_599_999, '59 min 59 s'],
    [3_600_000, '1 h'],
    [7_380_000, '2 h 3 min'],
    [86_400_000, '1 d'],
    [86_400_000 * 5 + 7_200_000, '5 d 2 h'],
  ] as const) {
    assert.equal(formatDuration(ms), text);
  }
});

test('durations are read with their unit and never without', () => {
  const read = duration({ min: 1, max: 86_400_000 });
  assert.equal(read('250ms'), 250);
  assert.equal(read('1.5h'), 5_400_000);
  for (const text of ['10', '-1s', '0s', '25h', '99999999999d']) {
    assert.notEqual(typeof read(text), 'number', text);
  }
});

test('one thing is not "1 things"', () => {
  assert.equal(formatCount(1, 'peer'), '1 peer');
  assert.equal(formatCount(0, 'peer'), '0 peers');
  assert.equal(formatCount(2, 'entry', 'entries'), '2 entries');
  assert.equal(formatCount(50_000, 'peer'), '50,000 peers');
  assert.equal(formatNumber(36_224.06, 1), '36,224.1');
  assert.equal(formatNumber(undefined), '');
});

test('a list drops what is between two commas and nothing else', () => {
  assert.deepEqual(list(text => text)(' a, b,,c '), ['a', 'b', 'c']);
});

test('JSON keeps every digit of a 64-bit number', () => {
  assert.equal(formatJson({ revision: 2n ** 63n }), '{"revision":"9223372036854775808"}');
});
