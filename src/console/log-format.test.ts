import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readableLine } from './log-format.ts';

const line = (fields: object) =>
  readableLine(`${JSON.stringify({ level: 'warn', time: '2026-01-02T03:04:05.678Z', ...fields })}\n`);

test('I8: a line for people has time, level, message, and the facts that the message does not contain', () => {
  assert.equal(
    line({
      msg: 'the lease 10.5.3.0-24 is not used: no PublicIP',
      key: '10.5.3.0-24',
      event: 'lease-rejected',
    }),
    '2026-01-02 03:04:05.678Z  warn   the lease 10.5.3.0-24 is not used: no PublicIP  event=lease-rejected\n',
  );
  assert.equal(
    line({ msg: 'serving', ports: [2379], dataDir: '/a b' }),
    '2026-01-02 03:04:05.678Z  warn   serving  ports=[2379]  dataDir="/a b"\n',
  );
});

test('I1: a line for people is one line, without controls and not endless', () => {
  const text = line({ msg: 'a\n\u001b[2J\u202e', key: 'x'.repeat(2 ** 20) });
  assert.match(text, /^[\x20-\x7e]{1,400}\n$/);
});
