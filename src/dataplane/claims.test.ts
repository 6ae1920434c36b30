import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EntryOwners } from './claims.ts';
import type { Entry } from './entry.ts';

const owner = (peer: string, revision: bigint): Entry => ({ owner: { peer, revision } });

const step = fc.record({
  peer: fc.constantFrom('a', 'b', 'c'),
  // Undefined: the peer takes its claim back.
  revision: fc.option(fc.bigInt(1n, 4n), { nil: undefined }),
});

test('the highest revision has the entry, and of equals the first name, whatever the order they came in', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), steps => {
      const claims = new EntryOwners<Entry>();
      const wanted = new Map<string, bigint>();
      let holder: Entry | undefined;
      for (const { peer, revision } of steps) {
        if (revision === undefined) {
          wanted.delete(peer);
          holder = claims.remove('key', holder, peer);
        } else {
          wanted.set(peer, revision);
          holder = claims.add('key', holder, owner(peer, revision));
        }
        const [first] = [...wanted].sort(([a, left], [b, right]) =>
          left === right ? (a < b ? -1 : 1) : left > right ? -1 : 1,
        );
        assert.deepEqual(holder, first && owner(...first));
      }
    }),
  );
});
