import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../testing/properties.ts';
import { contains, rangeOf } from '../kv/range.ts';
import { WatcherIndex } from './watcher-index.ts';

/** Few and short, with the bytes that bound ranges, so that many of them coincide. */
const key = fc.string({ unit: fc.constantFrom('a', 'b', '\0', ' '), minLength: 1, maxLength: 3 });
const bytes = (text: string) => Uint8Array.from(Buffer.from(text));

test('finds exactly the watchers whose range holds the key', () => {
  const watcher = fc.record({
    start: key,
    end: fc.oneof(fc.constantFrom('', '\0'), key),
    stays: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(watcher, { maxLength: 12 }), fc.array(key, { maxLength: 5 }), (specs, keys) => {
      const watchers = specs.map(spec => ({ ...spec, range: rangeOf(bytes(spec.start), bytes(spec.end)) }));
      const index = new WatcherIndex<(typeof watchers)[number]>();
      for (const one of watchers) index.add(one);
      for (const one of watchers) if (!one.stays) index.delete(one);
      const left = watchers.filter(one => one.stays);
      for (const wanted of keys.map(bytes)) {
        const found = new Set(index.matching(wanted));
        assert.deepEqual(found, new Set(left.filter(one => contains(one.range, wanted))));
      }
    }),
    { numRuns: 2000 },
  );
});
