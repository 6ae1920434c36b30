import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGoDuration } from './go-duration.ts';

test('durations are read as Go reads them', () => {
  const milliseconds = {
    '0': 0,
    '10m': 600_000,
    '1h30m': 5_400_000,
    '1.5s': 1500,
    '.5s': 500,
    '1.s': 1000,
    '250us': 0.25,
    '250µs': 0.25,
    '+2s': 2000,
    '-2s500ms': -2500,
  };
  for (const [text, want] of Object.entries(milliseconds)) assert.equal(parseGoDuration(text), want, text);
});

test('what Go refuses is refused', () => {
  for (const text of ['', '10', 's', '.s', '1d', '1 s', '1s ', '--1s', '1e3s']) {
    assert.throws(() => parseGoDuration(text), { code: 'INVALID_VALUE' }, text);
  }
});
