import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError } from '../base/errors.ts';
import { fc } from '../testing/properties.ts';
import { DaemonJson } from './daemon-json.ts';

const problemOf = (text: string): string => {
  try {
    DaemonJson.parse(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return assert.fail(`${text} was accepted`);
};

describe('daemon.json', () => {
  const written = '{\n    "debug": true,\n\n    "log-opts": {"max-size": "10m" },\n    "mtu":1e3\n}\n';

  test('gets a new member as its author writes them, and everything else stays', () => {
    const config = DaemonJson.parse(written).with('bip', '10.3.1.1/24').with('dns', ['a', 'b']);
    assert.equal(
      config.text,
      written.replace('1e3\n', '1e3,\n    "bip": "10.3.1.1/24",\n    "dns": ["a", "b"]\n'),
    );
    assert.equal(DaemonJson.parse('{"a":1}').with('b', false).text, '{"a":1, "b": false}');
    assert.equal(DaemonJson.parse('').with('b', 2).text, '{\n  "b": 2\n}\n');
    assert.equal(DaemonJson.parse(' {}').with('b', 2).text, ' {\n  "b": 2\n}');
  });

  test('gets another value where the former was, or loses a member', () => {
    const config = DaemonJson.parse(written);
    assert.equal(config.with('mtu', 1450).text, written.replace('1e3', '1450'));
    assert.equal(config.without('debug').text, written.replace('"debug": true,\n\n    ', ''));
    assert.equal(config.without('mtu').text, written.replace(',\n    "mtu":1e3', ''));
    assert.equal(config.without('nothing'), config);
    assert.deepEqual(config.without('mtu').without('debug').without('log-opts').keys, []);
  });

  test('that is broken is refused with the place', () => {
    for (const [text, place, what] of [
      ['{\n  "bip": "1.2.3.4/24"\n  "mtu": 1\n}', 'line 3, column 3', 'want "," or "}"'],
      ['{"a": 1,}', 'line 1, column 9', 'want a key in double quotes'],
      ['{"a": tru}', 'line 1, column 7', 'want a value'],
      ['{"a": "x\n"}', 'line 1, column 7', 'want a text that ends in this line'],
      ['{"a": 1', 'line 1, column 8', 'want "," or "}"'],
      ['// mine\n{}', 'line 1, column 1', 'want an object'],
      ['[]', 'line 1, column 1', 'want an object'],
      ['{} {}', 'line 1, column 4', 'want nothing after the object'],
      ['{"a": 1, "a": 2}', 'line 1, column 10', '"a" is there twice'],
      [`{"a": ${'['.repeat(101)}`, 'line 1, column 107', 'want at most 100 levels'],
    ] as const) {
      assert.ok(problemOf(text).includes(`${place}: ${what}`), `${text}: ${problemOf(text)}`);
    }
    assert.match(problemOf(`{"a": "${'x'.repeat(1 << 20)}"}`), /size = \d+: want at most/);
  });

  const objects = fc
    .tuple(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 1, 2, '\t'))
    .map(([object, indent]) => JSON.stringify(object, null, indent));

  test('is read as JavaScript reads it, and refused where that refuses it', () => {
    const noise = fc.tuple(objects, fc.nat(), fc.constantFrom('', ',', '}', '"', ' ', '1', '\\', '\u0085'));
    fc.assert(
      fc.property(noise, ([text, at, extra]) => {
        const cut = at % (text.length + 1);
        const mangled = text.slice(0, cut) + extra + text.slice(cut);
        let expected: Record<string, unknown> | undefined;
        try {
          const parsed: unknown = JSON.parse(mangled);
          if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
            expected = parsed as Record<string, unknown>;
        } catch {
          expected = undefined;
        }
        let read: DaemonJson | undefined;
        try {
          read = DaemonJson.parse(mangled);
        } catch (error) {
          assert.ok(error instanceof ConfigError);
          // Two members of one name are JSON, and a mistake.
          if (error.message.includes('is there twice')) return;
        }
        if (mangled.trim() === '') return;
        assert.equal(read === undefined, expected === undefined, mangled);
        if (read === undefined || expected === undefined) return;
        assert.deepEqual(new Set(read.keys), new Set(Object.keys(expected)));
        for (const key of read.keys)
          assert.deepEqual(read.value(key), Object.getOwnPropertyDescriptor(expected, key)?.value);
      }),
      { numRuns: 500 },
    );
  });

  test('keeps the text and the order of all that is not changed, whatever is', () => {
    const edits = fc.array(fc.tuple(fc.string(), fc.option(fc.jsonValue(), { nil: undefined })), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(objects, edits, (text, changes) => {
        const before = DaemonJson.parse(text);
        const wanted = new Map([
          ...changes,
          ...before.keys.slice(0, 2).map(key => [key, undefined] as const),
        ]);
        const after = [...wanted].reduce(
          (config, [key, value]) => (value === undefined ? config.without(key) : config.with(key, value)),
          before,
        );
        const kept = before.keys.filter(key => !wanted.has(key));
        assert.deepEqual(
          after.keys.filter(key => !wanted.has(key)),
          kept,
        );
        for (const key of kept) assert.equal(after.raw(key), before.raw(key));
        for (const [key, value] of wanted) {
          assert.equal(JSON.stringify(after.value(key)), JSON.stringify(value));
        }
        JSON.parse(after.text);
      }),
      { numRuns: 500 },
    );
  });
});
