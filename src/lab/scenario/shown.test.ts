import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inOrder } from './shown.ts';

test('lines of the forwarding database come in one order, whatever MAC addresses were drawn', () => {
  const lines = (a: string, b: string) => [`${a} dst 10.0.0.2 self permanent`, `${b} master br0 permanent`];
  const text = inOrder(lines('ea:00:00:00:00:01', '02:00:00:00:00:02').join('\n'));
  assert.equal(text, lines('ea:00:00:00:00:01', '02:00:00:00:00:02').join('\n'));
  const turned = lines('02:00:00:00:00:01', 'ea:00:00:00:00:02');
  assert.equal(inOrder(`${turned.toReversed().join('\n')}\n`), turned.join('\n'));
});
