/** Names of containers: their keys and values in the store. */
import assert from 'node:assert/strict';
import { ParseError } from '../../src/base/errors.ts';
import { NameKeys, parseNameKey } from '../../src/subnet/names/name-key.ts';
import { decodeNames, encodeNames } from '../../src/subnet/names/name-value.ts';
import { namedOf } from '../support/names.ts';
import type { FuzzTarget } from './fuzz.ts';
import { texts } from './texts.ts';

const keys = new NameKeys('/');

export const nameTargets: readonly FuzzTarget[] = [
  texts(
    'keys of names',
    ['blue/10.9.1.2', 'default/fd00::5', 'a.b_c-d/10.9.1.20'],
    ['INVALID_VALUE'],
    text => {
      const key = parseNameKey(text);
      if (key === undefined) throw new ParseError('a key of names', text, 'none');
      const canonical = keys.below(keys.of(key)) ?? '';
      assert.equal(canonical, text, 'a key has one spelling');
      return canonical;
    },
  ),
  texts(
    'names of containers',
    [
      '{"hostId":"5d1c","hostName":"docker1","names":["web","api_1","a.b"]}',
      '{"hostId":"5d1c","names":["web"]}',
    ],
    ['INVALID_VALUE'],
    text => {
      const value = decodeNames(namedOf('blue 10.9.1.2'), new TextEncoder().encode(text));
      return new TextDecoder().decode(encodeNames(value));
    },
  ),
];
