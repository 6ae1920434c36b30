/** I1: nothing from outside reaches a terminal but what can be seen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { abridge, printable, printableLines } from './printable.ts';

/** What terminals obey or do not show, by code point. */
const CONTROL: readonly (readonly [from: number, to: number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0xa0, 0xa0],
  [0xad, 0xad],
  [0x61c, 0x61c],
  [0x180e, 0x180e],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0xd800, 0xdfff],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xfff9, 0xfffb],
  [0xe0000, 0xe007f],
  [0xe0100, 0xe01ef],
];
const isControl = (character: string) => {
  const code = character.codePointAt(0) ?? 0;
  return CONTROL.some(([from, to]) => code >= from && code <= to);
};

const control = fc
  .constantFrom(...CONTROL)
  .chain(([from, to]) => fc.integer({ min: from, max: to }))
  .map(code => String.fromCodePoint(code));
const hostile = fc
  .array(fc.oneof(control, fc.string({ unit: 'binary' })), { maxLength: 20 })
  .map(parts => parts.join(''));

test('a printable line holds nothing that a terminal obeys or does not show', () => {
  fc.assert(fc.property(hostile, text => !Array.from(printable(text)).some(isControl)));
  assert.equal(printable('\x1b[2J\r\u202e\x9b'), '\\u001b[2J\\u000d\\u202e\\u009b');
});

test('several lines stay several lines, and nothing else gets through', () => {
  fc.assert(
    fc.property(hostile, text => {
      const shown = printableLines(text);
      assert.equal(shown.split('\n').length, text.split('\n').length);
      return !Array.from(shown.replaceAll(/[\n\t]/g, '')).some(isControl);
    }),
  );
});

test('JSON means the same afterwards', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), hostile, (value, key) => {
      const document = { [key]: value };
      assert.deepEqual(
        JSON.parse(printableLines(JSON.stringify(document, undefined, 2))),
        JSON.parse(JSON.stringify(document)),
      );
    }),
  );
});

test('letters of every script stay as they are, and a second time changes nothing', () => {
  for (const text of ['docker1', 'größe', 'хост', '主机', 'ホスト', 'a b', '✓ 5 µs → 6'])
    assert.equal(printable(text), text);
  fc.assert(fc.property(hostile, text => printable(printable(text)) === printable(text)));
});

test('a long text is cut between characters', () => {
  assert.equal(abridge('abc', 3), 'abc');
  assert.equal(abridge('abcd', 3), 'abc... (4 characters)');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(8), (text, most) =>
      abridge(text, most).isWellFormed(),
    ),
  );
});
