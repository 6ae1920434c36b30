import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Prefix } from '../../base/prefix.ts';
import type { Entry } from '../tables/entry.ts';
import { EntryOwners } from './entry-owners.ts';

const subnet = Prefix.parse('10.3.1.0/24');
const entry = (peer: string, revision: bigint): Entry => ({ owner: { peer, subnet, revision } });

const step = fc.record({
  peer: fc.constantFrom('a', 'b', 'c'),
  // Undefined: the peer takes its claim back.
  revision: fc.option(fc.bigInt(1n, 4n), { nil: undefined }),
});

test('the highest revision has the entry, and of equals the first name, whatever the order they came in', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), steps => {
      const owners = new EntryOwners<Entry>();
      const wanted = new Map<string, bigint>();
      let holder: Entry | undefined;
      for (const { peer, revision } of steps) {
        if (revision === undefined) {
          wanted.delete(peer);
          holder = owners.remove('key', holder, entry(peer, 0n).owner);
        } else {
          wanted.set(peer, revision);
          holder = owners.add('key', holder, entry(peer, revision));
        }
        const [first] = [...wanted].sort(([a, left], [b, right]) =>
          left === right ? (a < b ? -1 : 1) : left > right ? -1 : 1,
        );
        assert.deepEqual(holder, first && entry(...first));
      }
    }),
  );
});
