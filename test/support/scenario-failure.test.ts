import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstDifference, scenarioFailure } from './scenario-failure.ts';

test('a failed scenario says first which step and check, and what was typed', () => {
  const step = { title: 'Ping', on: 'vm1', why: 'to see', command: '', equivalent: '', seen: '' };
  const ping = { on: 'vm1', line: 'ping -c 1 10.0.0.1', output: '1 packets transmitted,\n0 received' };
  const failed = { expected: 'an answer', seen: '0 of 1 answered', passed: false };
  const report = {
    scenario: 'pair',
    passed: false,
    steps: [
      { ...step, transcript: [], checks: [] },
      { ...step, transcript: [ping], checks: [{ ...failed, passed: true }, failed] },
    ],
  };
  assert.deepEqual(scenarioFailure(report).split('\n').slice(0, 4), [
    'pair failed',
    'step 2 on vm1: Ping',
    'expected: an answer; seen: 0 of 1 answered',
    'vm1# ping -c 1 10.0.0.1 -> 1 packets transmitted, 0 received',
  ]);
});

test('a difference is shown from where it begins', () => {
  assert.equal(firstDifference('same', 'same'), undefined);
  assert.equal(
    firstDifference('2 received', '1 received'),
    'expected: ...2 received...\n     but: ...1 received...',
  );
  const long = 'x'.repeat(100);
  assert.equal(
    firstDifference(long, `${long} more`),
    `expected: ...${'x'.repeat(60)}...\n     but: ...${'x'.repeat(60)} more...`,
  );
});
