import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { parseGoJson } from './go-json.ts';

test('a number with a point or an exponent is no number, and keeps its spelling', () => {
  const text = '{"a":88.0,"b":[1e3,-0.5,7],"c":{"d":1E-2},"e":-3}';
  const value = parseGoJson(text) as { a: unknown; e: unknown };
  assert.notEqual(typeof value.a, 'number');
  assert.equal(value.e, -3);
  assert.equal(JSON.stringify(value), text);
});

test('whatever else is read as JSON is read', () => {
  const whole = fc.jsonValue().filter(value => !/[:,[]-?\d+[.e]/i.test(JSON.stringify(value)));
  fc.assert(
    fc.property(whole, value => {
      const text = JSON.stringify(value);
      assert.deepEqual(parseGoJson(text), JSON.parse(text));
    }),
  );
  fc.assert(
    fc.property(fc.json(), text => {
      assert.equal(JSON.stringify(parseGoJson(`[${text}]`)), JSON.stringify(JSON.parse(`[${text}]`)));
    }),
  );
  assert.throws(() => parseGoJson('{'), SyntaxError);
});
