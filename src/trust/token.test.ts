import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { formatToken, newTokenSecret, parseToken, type Token } from './token.ts';

const hex = (digits: number) =>
  fc
    .uint8Array({ minLength: digits / 2, maxLength: digits / 2 })
    .map(bytes => Buffer.from(bytes).toString('hex'));

const anyToken: fc.Arbitrary<Token> = fc.record(
  {
    id: hex(12),
    secret: hex(32),
    fingerprint: hex(64),
    address: fc.constantFrom('192.168.65.3:2379', '[fd00::3]:2379', 'store.example:4001'),
  },
  { noNullPrototype: true },
);

test('a token survives being written and read', () => {
  fc.assert(fc.property(anyToken, token => assert.deepEqual(parseToken(formatToken(token)), token)));
});

test('a token with any character changed, cut off or added is refused, and never shown', () => {
  fc.assert(
    fc.property(
      anyToken,
      fc.nat(),
      fc.constantFrom('A', 'b', '7', '_', '', 'xx', ' ', '='),
      (token, at, other) => {
        const text = formatToken(token);
        const index = at % text.length;
        const changed = text.slice(0, index) + other + text.slice(index + 1);
        fc.pre(changed !== text);
        // The last character carries spare bits, which base64 ignores.
        fc.pre(
          Buffer.compare(
            Buffer.from(changed.slice(7), 'base64url'),
            Buffer.from(text.slice(7), 'base64url'),
          ) !== 0,
        );
        assert.throws(
          () => parseToken(changed),
          (error: Error & { code?: string }) =>
            error.code === 'INVALID_VALUE' && !error.message.includes(text.slice(10, 30)),
        );
      },
    ),
  );
});

test('nothing that is not a token is taken for one', () => {
  fc.assert(
    fc.property(fc.string(), text => {
      assert.throws(() => parseToken(text), { code: 'INVALID_VALUE' });
      assert.throws(() => parseToken(`tulle1.${text}`), { code: 'INVALID_VALUE' });
    }),
  );
});

test('no two tokens are alike', () => {
  const secrets = Array.from({ length: 100 }, () => newTokenSecret());
  assert.equal(new Set(secrets.map(one => one.secret)).size, 100);
  assert.equal(new Set(secrets.map(one => one.id)).size, 100);
});
