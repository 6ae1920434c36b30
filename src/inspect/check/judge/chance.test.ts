import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCase, LEAVES, seen, watchedRung } from '../../../../test/support/check-case.ts';
import { withoutChance } from './chance.ts';
import { rootsOf } from './roots.ts';

const known = checkCase({
  answers: ({ peer, kind }) => (peer === 'docker2' && kind !== 'underlay' ? 0 : undefined),
});
const again = (answered: number) => {
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', { here: seen(1, LEAVES) });
  return { ...known, watched: [{ ...watched, answered }] };
};
const rootsLeft = (answered: number) => rootsOf(withoutChance(again(answered), rootsOf(known))).length;

test('what is answered when it is asked again has not failed, and nothing that stood on it', () => {
  assert.equal(rootsOf(known).length, 1);
  assert.equal(rootsLeft(4), 0);
});

test('what is lost again has failed, also when some of it comes through', () => {
  assert.deepEqual([rootsLeft(0), rootsLeft(3)], [1, 1]);
});
