/** The numbers that scripts rely on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TulleError } from '../base/errors.ts';
import { EXIT, OUTCOME_OF_CODE } from './exit-codes.ts';
import { reportOf } from './report.ts';

const statusOf = (error: unknown) => reportOf(error, { stack: false }).status;

test('a number has one meaning, and each cause that scripts distinguish has its number', () => {
  const numbers = Object.values(EXIT).map(({ status }) => status);
  assert.equal(new Set(numbers).size, numbers.length);
  const codes = [...Object.keys(OUTCOME_OF_CODE), 'ANY_OTHER'];
  assert.deepEqual(Object.fromEntries(codes.map(code => [code, statusOf(new TulleError(code, 'x'))])), {
    USAGE: 2,
    INVALID_CONFIG: 2,
    INVALID_VALUE: 2,
    AGENT_NOT_RUNNING: 4,
    UNAVAILABLE: 5,
    EXHAUSTED: 5,
    UNAUTHENTICATED: 6,
    FORBIDDEN: 6,
    EPERM: 6,
    EACCES: 6,
    PERMISSION_DENIED: 6,
    NOT_FOUND: 7,
    ANY_OTHER: 1,
  });
});

test('of several errors a defect counts most, and different causes are a failure', () => {
  const [missing, away] = [new TulleError('NOT_FOUND', 'a'), new TulleError('UNAVAILABLE', 'b')];
  assert.equal(statusOf(new AggregateError([missing, missing])), EXIT.missing.status);
  assert.equal(statusOf(new AggregateError([missing, away])), EXIT.failed.status);
  assert.equal(statusOf(new AggregateError([missing, new TypeError('x')])), EXIT.internal.status);
  assert.equal(statusOf('no error at all'), EXIT.internal.status);
});
