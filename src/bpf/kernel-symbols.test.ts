import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KernelSymbols } from './kernel-symbols.ts';

/** Not in order, as modules are. */
const LINES = [
  'ffffffff81000000 T _stext',
  'ffffffff81000100 t ip_rcv',
  'ffffffff81000180 D some_data',
  'ffffffffc0201000 t vxlan_rcv\t[vxlan]',
  'ffffffff81000200 W ip_forward',
  'no line at all',
];

test('an address has the name of the function that it is in, and the list is read once for it', async () => {
  let reads = 0;
  const symbols = new KernelSymbols(async function* () {
    reads++;
    yield* LINES;
  });
  const wanted = [0xffffffff81000150n, 0xffffffffc0201004n, 0xffffffff81000190n, 0x10n];
  assert.deepEqual(Array.from((await symbols.functionsAt(wanted)).values()), [
    'ip_rcv',
    'vxlan_rcv',
    'ip_rcv',
    undefined,
  ]);
  await symbols.functionsAt(wanted);
  assert.equal(reads, 1);
});

test('a kernel that hides its addresses names nothing', async () => {
  const symbols = new KernelSymbols(async function* () {
    yield* LINES.map(line => line.replace(/^[0-9a-f]{16}/, '0'.repeat(16)));
  });
  assert.deepEqual(Array.from(await symbols.functionsAt([0xffffffff81000150n])), [
    [0xffffffff81000150n, undefined],
  ]);
});
