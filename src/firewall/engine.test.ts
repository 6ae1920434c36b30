import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf } from './engine.ts';

const refusal = (status: number, stderr: string) =>
  refusalOf('iptables-restore', { status, stdout: '', stderr });

test('what a program says went wrong is its first line that is not only an explanation', () => {
  const { message, code } = refusal(
    1,
    '\n# Warning: iptables-legacy tables present\n  no such chain.\nmore\n',
  );
  assert.deepEqual([code, message], ['REFUSED', 'iptables-restore: no such chain']);
  assert.equal(refusal(3, '').message, 'iptables-restore: exit status 3');
  assert.equal(refusal(3, '# a comment\n').message, 'iptables-restore: exit status 3');
});

test('a held lock is known by its status and its words together, and has a hint', () => {
  const words = 'Another app is currently holding the xtables lock; still -9s 0us time ahead';
  const { code, hint } = refusal(4, words);
  assert.equal(code, 'LOCKED');
  assert.match(hint ?? '', /fuser/);
  assert.equal(refusal(1, words).code, 'REFUSED');
  assert.equal(refusal(4, 'out of memory').code, 'REFUSED');
  assert.equal(refusal(4, 'blocked').code, 'REFUSED');
});
