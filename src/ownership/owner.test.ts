import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../base/prefix.ts';
import { ownerByNetwork, ownerOf } from './owner.ts';

const blocks = (...texts: string[]) => texts.map(text => Prefix.parse(text));
const OURS = blocks('10.3.0.0/16', 'fd03::/48');

for (const [named, byBlock, byNetwork] of [
  [[], 'none', 'none'],
  [['10.3.7.0/24'], 'ours', 'another'],
  [['10.3.0.0/16'], 'ours', 'ours'],
  [['fd03::/48'], 'ours', 'ours'],
  [['10.4.7.0/24'], 'another', 'another'],
  [['10.0.0.0/8'], 'another', 'another'],
  [['10.4.0.0/16', '10.3.0.0/16'], 'ours', 'ours'],
] as const) {
  test(`what names ${named.join(' and ') || 'no block'}: ${byBlock}, and by its network ${byNetwork}`, () => {
    assert.equal(ownerOf(blocks(...named), OURS), byBlock);
    assert.equal(ownerByNetwork(blocks(...named), OURS), byNetwork);
  });
}
