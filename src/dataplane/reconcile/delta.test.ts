import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../testing/properties.ts';
import { Delta } from './delta.ts';

/** Values that differ are the same when they differ in case only, as entries are whose claims alone differ. */
const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

const key = fc.constantFrom('a', 'b', 'c', 'd');
const value = fc.constantFrom('x', 'X', 'y', 'Y', undefined);
const step = fc.oneof(
  fc.record({ do: fc.constant('desired' as const), key, value }),
  fc.record({ do: fc.constant('actual' as const), key, value }),
  fc.record({
    do: fc.constant('read all' as const),
    dump: fc.uniqueArray(fc.tuple(key, fc.constantFrom('x', 'X', 'y')), { selector: ([name]) => name }),
  }),
  fc.record({ do: fc.constant('clearDesired' as const) }),
  fc.record({ do: fc.constant('clearActual' as const) }),
);

test('after any changes the differences are those of two plain maps', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const delta = new Delta<string>(same);
      const desired = new Map<string, string>();
      const actual = new Map<string, string>();
      const put = (map: Map<string, string>, name: string, item: string | undefined) =>
        item === undefined ? map.delete(name) : map.set(name, item);
      for (const now of steps) {
        if (now.do === 'desired') {
          delta.setDesired(now.key, now.value);
          put(desired, now.key, now.value);
        } else if (now.do === 'actual') {
          delta.setActual(now.key, now.value);
          put(actual, now.key, now.value);
        } else if (now.do === 'read all') {
          delta.beginReading();
          for (const [name, item] of now.dump) delta.setActual(name, item);
          for (const name of delta.unread()) delta.setActual(name, undefined);
          actual.clear();
          for (const [name, item] of now.dump) actual.set(name, item);
        } else if (now.do === 'clearDesired') {
          delta.clearDesired();
          desired.clear();
        } else {
          delta.clearActual();
          actual.clear();
        }
      }
      const expected = ['a', 'b', 'c', 'd'].filter(name => {
        const [wanted, found] = [desired.get(name), actual.get(name)];
        if (wanted === undefined || found === undefined) return wanted !== found;
        return !same(wanted, found);
      });
      assert.deepEqual(
        Array.from(delta.differences(), difference => String(difference.key)).sort(),
        expected,
      );
      assert.equal(delta.desiredSize, desired.size);
      for (const name of ['a', 'b', 'c', 'd']) assert.equal(delta.desired(name), desired.get(name));
    }),
  );
});

test('what a dump finds as wanted is kept as one object, not two', () => {
  const delta = new Delta<{ readonly text: string }>((a, b) => a.text === b.text);
  const wanted = { text: 'x' };
  delta.setDesired('a', wanted);
  delta.setActual('a', { text: 'x' });
  assert.equal(delta.actual('a'), wanted);
});
