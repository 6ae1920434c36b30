import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import type { Problem } from './errors.ts';
import { Fields, isObject } from './fields.ts';
import { Ip } from './ip.ts';

const read = (json: string, path = '') => {
  const problems: Problem[] = [];
  return { fields: new Fields(JSON.parse(json) as object, path, problems), problems };
};

test('names are found in any case, and of several spellings the last one counts', () => {
  const { fields } = read('{"Network":"a","nETWORK":"b","VNI":1}');
  assert.equal(fields.text('network'), 'b');
  assert.equal(fields.integer('vni', { min: 0, max: 9 }), 1);
});

test('null is absence', () => {
  const { fields, problems } = read('{"a":null}');
  assert.deepEqual(
    [fields.text('a'), fields.flag('A'), fields.integer('a', { min: 0, max: 1 })],
    [undefined, undefined, undefined],
  );
  assert.equal(fields.value('a'), null);
  assert.deepEqual(problems, []);
});

test('every wrong value is reported with its path', () => {
  const { fields, problems } = read('{"t":1,"f":"true","i":1.5,"r":70000,"p":"10.0.0"}', 'Backend');
  fields.text('t');
  fields.flag('f');
  fields.integer('i', { min: 0, max: 9 });
  fields.integer('r', { min: 1, max: 65535 });
  fields.parsed('p', text => Ip.parse(text), 'an IP address');
  fields.problem('gone', 'is missing', 'add it');
  assert.deepEqual(problems, [
    { path: 'Backend.t', value: 1, message: 'must be a string' },
    { path: 'Backend.f', value: 'true', message: 'must be true or false' },
    { path: 'Backend.i', value: 1.5, message: 'must be a whole number' },
    { path: 'Backend.r', value: 70000, message: 'must be between 1 and 65535' },
    { path: 'Backend.p', value: '10.0.0', message: 'must be an IP address' },
    { path: 'Backend.gone', message: 'is missing', hint: 'add it' },
  ]);
});

test('what nobody asked for is unknown, as it was spelled', () => {
  const { fields } = read('{"Known":1,"SubnetLenght":24,"__proto__":1}');
  fields.value('known');
  assert.deepEqual(fields.unknown(), ['SubnetLenght', '__proto__']);
});

test('any JSON object can be read in any way', () => {
  fc.assert(
    fc.property(fc.json(), fc.string(), (json, name) => {
      const value: unknown = JSON.parse(json);
      fc.pre(isObject(value));
      const { fields, problems } = read(json);
      for (const key of [...Object.keys(value), name]) {
        const results = [fields.text(key), fields.flag(key), fields.integer(key, { min: 0, max: 10 })];
        assert.ok(results.filter(result => result !== undefined).length <= 1);
      }
      assert.ok(problems.length <= 3 * (Object.keys(value).length + 1));
      assert.deepEqual(fields.unknown(), []);
    }),
  );
});
