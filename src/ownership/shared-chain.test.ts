import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../base/prefix.ts';
import { sharesOf } from './shared-chain.ts';

const OURS = [Prefix.parse('10.3.0.0/16')];

/** Rules are words; those with a dot name a block. */
const split = (...rules: string[]) =>
  sharesOf(rules, rule => (rule.includes('.') ? [Prefix.parse(rule)] : []), OURS);

for (const [what, rules, shares] of [
  ['is ours where no other network has a rule', ['return', '10.3.0.0/16'], [['return', '10.3.0.0/16'], []]],
  ['is ours with all that is repeated in it', ['return', 'return'], [['return', 'return'], []]],
  [
    'is shared by what each rule names, and what names nothing serves us too',
    ['return', '10.3.0.0/16', '10.4.0.0/16'],
    [['return', '10.3.0.0/16'], ['10.4.0.0/16']],
  ],
  [
    'has no second rule of ours that names nothing where another network needs one as well',
    ['return', '10.3.0.0/16', 'return', '10.4.0.0/16'],
    [['return', '10.3.0.0/16'], ['10.4.0.0/16']],
  ],
  [
    'is left as it is where only others have rules that name something',
    ['return', '10.4.0.0/16'],
    [[], ['return', '10.4.0.0/16']],
  ],
] as const) {
  test(`a chain ${what}`, () => {
    const { ours, others } = split(...rules);
    assert.deepEqual([ours, others], shares);
  });
}
