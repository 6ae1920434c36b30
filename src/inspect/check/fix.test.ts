import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finding } from '../../../test/support/check-case.ts';
import { fixAll, fixableOn, foundAgain } from './fix.ts';

const fault = (reason: string, pid: number) => ({
  ...finding({ code: 'CONTAINER_IGNORES_ECHO', host: 'docker1', layer: 'container', fixable: true, reason }),
  fix: [['nsenter', `--net=/proc/${pid}/ns/net`, 'true']],
});

test('what is fixed is what is found a second time, as it is found then', () => {
  const before = [fault('c1 answers no ping', 41), fault('c2 answers no ping', 42)];
  const now = [fault('c2 answers no ping', 77), fault('c3 answers no ping', 43)];
  assert.deepEqual(foundAgain(before, now), [now[0]]);
});

test('only what has commands, and is of this host', () => {
  const own = fault('c1 answers no ping', 41);
  const { fix: _, ...byHand } = own;
  assert.deepEqual(fixableOn([own, byHand, { ...own, host: 'docker2' }], 'docker1'), [own]);
});

test('no shell reads what is run, a command that fails ends its finding, and each is run once', async () => {
  const text = '$(touch /nonexistent/x); `id`';
  const commands = [['test', text, '=', text], ['sh', '-c', 'echo no such link >&2; exit 1'], ['false']];
  const fixed = await fixAll(
    [
      { ...fault('a', 1), fix: commands },
      { ...fault('b', 1), fix: commands.slice(1) },
    ],
    new AbortController().signal,
  );
  assert.deepEqual(
    fixed.map(one => [one.commands.length, one.failure]),
    [
      [2, 'no such link'],
      [1, 'no such link'],
    ],
  );
});
