/** What nft 1.0.6 prints, read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRuleset, withoutDormant } from './reader.ts';

const table = (name: string, flags?: string) => ({
  table: { family: 'inet', name, ...(flags !== undefined && { flags }) },
});
const chain = (of: string) => ({
  chain: { family: 'inet', table: of, name: 'c', type: 'filter', hook: 'forward', prio: 0, policy: 'drop' },
});

test('a table that is switched off is read as one whose chains the kernel does not call', async () => {
  // In the place of the flags stands the name of the table.
  const listing = {
    nftables: [
      table('off', 'off'),
      chain('off'),
      table('owned', 'owned'),
      chain('owned'),
      table('on'),
      chain('on'),
    ],
  };
  const texts: Readonly<Record<string, string>> = {
    off: 'table inet off {\n\tflags dormant\n\n\tchain c {\n\t}\n}\n',
    owned:
      'table inet owned { # progname nft\n\tflags owner\n\n\tchain c {\n\t\tcomment "flags dormant"\n\t}\n}\n',
  };
  const asked: string[] = [];
  const { bases } = await withoutDormant(readRuleset(JSON.stringify(listing)), ({ table }) => {
    asked.push(table);
    return Promise.resolve(texts[table]);
  });
  assert.deepEqual(asked, ['off', 'owned'], 'only tables with flags are listed again');
  assert.deepEqual(
    bases.map(({ table }) => table),
    ['owned', 'on'],
  );
});

test('bits of a header are not understood, but what kind of packet has them is', () => {
  const rule = {
    family: 'inet',
    table: 'on',
    chain: 'c',
    handle: 2,
    expr: [
      {
        match: {
          op: '==',
          left: { '&': [{ payload: { protocol: 'tcp', field: 'flags' } }, ['fin', 'syn']] },
          right: ['fin', 'syn'],
        },
      },
      { drop: null },
    ],
  };
  const listing = { nftables: [table('on'), chain('on'), { rule }] };
  const [read] = readRuleset(JSON.stringify(listing)).chainsOf('inet', 'on').get('c') ?? [];
  assert.deepEqual(read?.conditions, [
    { not: false, on: { field: 'protocol', names: ['tcp'] } },
    { not: false, on: { field: 'unknown' } },
  ]);
});
