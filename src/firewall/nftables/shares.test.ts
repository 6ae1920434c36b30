/** Several networks in one table of flannel's name: each takes its own part, and leaves that of the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import { inOneTable, tableShares } from './shares.ts';
import type { NftTable } from './table.ts';

const ACCEPT = { accept: null };

/** A rule that names a block as nft writes it: `10.3.0.0/16`, or without a length for one address. */
function rule(chain: string, block: string) {
  const [addr = '', len] = block.split('/');
  const right = len === undefined ? addr : { prefix: { addr, len: Number(len) } };
  const left = { payload: { protocol: 'ip', field: 'saddr' } };
  return { chain, expr: [{ match: { op: '==', left, right } }, ACCEPT] };
}

const table = (chains: readonly string[], ...rules: NftTable['rules']): NftTable => ({
  chains: chains.map(name => ({ name })),
  rules,
});

const ours = rule('forward', '10.3.0.0/16');
const others = rule('forward', '10.9.0.0/16');
const networks = [Prefix.parse('10.3.0.0/16')];

test('a table that nobody else has is all ours', () => {
  const all = table(['forward', 'empty'], ours, rule('forward', '10.3.5.9'));
  assert.deepEqual(tableShares(all, networks), { ours: all, others: undefined });
});

test('in a chain that another network has a rule in, each has its own rules', () => {
  const all = table(['forward', 'postrtg'], ours, others, rule('postrtg', '10.3.0.0/16'));
  assert.deepEqual(tableShares(all, networks), {
    ours: table(['forward', 'postrtg'], ours, rule('postrtg', '10.3.0.0/16')),
    others: table(['forward'], others),
  });
});

test('a table that only others have is theirs', () => {
  for (const block of ['10.9.0.0/16', '10.9.5.9']) {
    const all = table(['forward'], rule('forward', block));
    assert.deepEqual(tableShares(all, networks), { ours: table([]), others: all });
  }
});

test('two parts in one table have every chain and every rule once', () => {
  const wanted = table(['forward', 'mark'], ours, rule('mark', '10.3.0.0/16'));
  const found = table(['forward', 'postrtg'], ours, others);
  assert.deepEqual(
    inOneTable(wanted, found),
    table(['forward', 'mark', 'postrtg'], ours, rule('mark', '10.3.0.0/16'), others),
  );
  assert.equal(inOneTable(wanted, undefined), wanted);
  assert.equal(inOneTable(undefined, found), found);
  assert.equal(inOneTable(undefined, undefined), undefined);
});
