/** A fast slice of `npm run fuzz`, the same in every run. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fuzz } from '../test/fuzz/fuzz.ts';
import { fuzzTargets } from '../test/fuzz/targets.ts';

const INPUTS = 2_000;

describe('no input makes a parser fail in a way it should not', () => {
  for (const target of fuzzTargets) {
    test(target.name, () => {
      const [count] = fuzz([target], INPUTS, 1);
      // A fuzzer that is always refused, or never, tests little.
      assert.ok(
        count && count.accepted > INPUTS / 100 && (count.accepted < INPUTS || target.lenient === true),
        `${count?.accepted} accepted`,
      );
    });
  }
});
