import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CodecError,
  ConfigError,
  formatProblem,
  isCode,
  messageOf,
  ParseError,
  TulleError,
} from './errors.ts';

class ProbeError extends TulleError<'COLD' | 'HOT'> {}

test('an error says who it is, its code, what was done and what to do', () => {
  const cause = new Error('inner');
  const error = new ProbeError('HOT', 'too hot', {
    op: 'probe',
    hint: 'wait',
    context: { degrees: 99 },
    cause,
  });
  assert.equal(error.name, 'ProbeError');
  assert.deepEqual(
    { code: error.code, op: error.op, hint: error.hint, context: error.context, cause: error.cause },
    { code: 'HOT', op: 'probe', hint: 'wait', context: { degrees: 99 }, cause },
  );
});

test('an error without a cause has no cause property, and one without a context an empty one', () => {
  const error = new ProbeError('COLD', 'too cold');
  assert.equal('cause' in error, false);
  assert.deepEqual(error.context, {});
});

test('a configuration error carries every problem and prints each on its own', () => {
  const problems = [
    { path: 'Network', message: 'is missing' },
    { path: 'Backend.VNI', value: 16777216, message: 'must be at most 16777215', hint: 'use 1' },
  ];
  const error = new ConfigError('network configuration', problems);
  assert.equal(
    error.message,
    'network configuration: Network: is missing; Backend.VNI = 16777216: must be at most 16777215 (use 1)',
  );
  assert.equal(error.problems, problems);
  assert.equal(formatProblem({ path: 'a', value: 'x', message: 'no' }), 'a = "x": no');
});

test('isCode recognises errors of ours, of Node.js and of nobody', () => {
  const node = Object.assign(new Error('open'), { code: 'ENOENT' });
  assert.ok(isCode(node, 'EEXIST', 'ENOENT'));
  assert.ok(isCode(new ProbeError('HOT', ''), 'HOT'));
  assert.equal(isCode(node, 'EEXIST'), false);
  assert.equal(isCode({ code: 'ENOENT' }, 'ENOENT'), false);
  assert.equal(isCode(undefined, 'ENOENT'), false);
});

test('the text of an error has its causes, each once', () => {
  const inner = new Error('inner');
  assert.equal(messageOf(new Error('outer', { cause: inner })), 'outer: inner');
  assert.equal(messageOf(new Error('outer (inner)', { cause: inner })), 'outer (inner)');
  assert.equal(messageOf(new AggregateError([inner, 'text'], 'both')), 'both: inner; text');
  assert.equal(messageOf('just text'), 'just text');
});

test('a codec error names format and offset, a parse error quotes the text', () => {
  assert.equal(
    new CodecError('ndmsg', 4, 'u16', '1 bytes left').message,
    'ndmsg: want u16 at byte 4, got 1 bytes left',
  );
  const error = new ParseError('a MAC address', 'x"', 'too short', 'count again');
  assert.equal(error.message, '"x\\"" is not a MAC address: too short');
  assert.equal(error.hint, 'count again');
});
