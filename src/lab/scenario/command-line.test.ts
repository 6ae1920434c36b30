import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../../testing/properties.ts';
import { fillIn, parseCommandLine } from './command-line.ts';

describe('a command line', () => {
  test('is words, and quotes hold words together', () => {
    assert.deepEqual(parseCommandLine(`nft add chain ip t c '{ type filter hook input priority 0; }'`), [
      'nft',
      'add',
      'chain',
      'ip',
      't',
      'c',
      '{ type filter hook input priority 0; }',
    ]);
    assert.deepEqual(parseCommandLine(`etcdctl put /a '{"b":1}' --x="c d"`), [
      'etcdctl',
      'put',
      '/a',
      '{"b":1}',
      '--x=c d',
    ]);
    assert.deepEqual(parseCommandLine(`echo ''`), ['echo', '']);
  });

  test('has nothing that only a shell understands', () => {
    for (const line of ['a | b', 'a > b', 'a; b', 'a && b', 'a $(b)', 'a `b`', 'ls *', "a 'b", '', ' '])
      assert.throws(() => parseCommandLine(line), { code: 'INVALID_VALUE' }, line);
  });

  test('gives back any words that were quoted', () => {
    const word = fc.string().filter(text => !text.includes("'"));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), words => {
        assert.deepEqual(parseCommandLine(words.map(text => `'${text}'`).join(' ')), words);
      }),
    );
  });

  test('has values in the places of names', () => {
    assert.equal(fillIn('ip link show $BRIDGE', { BRIDGE: 'br-1' }), 'ip link show br-1');
    assert.throws(() => fillIn('ip link show $BRIDGE', {}), /nothing has shown \$BRIDGE/);
  });
});
