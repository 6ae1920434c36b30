import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureInShort } from './failure-in-short.ts';

test('a failure in short is the first lines of its message', () => {
  assert.equal(
    failureInShort(new Error('vni-isolation failed\n\n  step 4 on vm1\nexpected: an answer\nmore')),
    'vni-isolation failed\nstep 4 on vm1\nexpected: an answer',
  );
});

test('of a failed assertion it says what was expected', () => {
  assert.throws(
    () => assert.equal(1, 2),
    error => failureInShort(error) === 'Expected values to be strictly equal:\n1 !== 2',
  );
});

test('lines share the room, so that the last one is not lost', () => {
  const lines = failureInShort(new Error(['a', 'b', 'c'].map(letter => letter.repeat(500)).join('\n'))).split(
    '\n',
  );
  assert.deepEqual(
    lines.map(line => line[0]),
    ['a', 'b', 'c'],
  );
  assert.ok(lines.join('').length <= 300);
});

test('whatever is thrown is said', () => {
  assert.equal(failureInShort('no'), "'no'");
  assert.equal(failureInShort(undefined), 'undefined');
  assert.match(failureInShort(new RangeError('')), /^RangeError/);
});

test('what an error was thrown for is said instead of it', () => {
  const cause = new Error('answer to compact', { cause: 'no error' });
  assert.equal(failureInShort(new Error('Property failed', { cause })), 'answer to compact');
  const own = new Error('own cause');
  own.cause = own;
  assert.equal(failureInShort(own), 'own cause');
});
