import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Passwords } from './passwords.ts';

test('a password matches its own hash and no other', async () => {
  const passwords = new Passwords();
  const [first, second] = await Promise.all([passwords.hash('secret'), passwords.hash('secret')]);
  assert.notDeepEqual(first.hash, second.hash, 'each has a salt of its own');
  assert.equal(await passwords.match('secret', first), true);
  assert.equal(await passwords.match('Secret', first), false);
  assert.equal(await passwords.match('secret', undefined), false);
});

test('a flood of guesses is refused, and those that wait are answered', async () => {
  const passwords = new Passwords();
  const outcomes = await Promise.allSettled(
    Array.from({ length: 110 }, () => passwords.match('x', undefined)),
  );
  const refused = outcomes.filter(({ status }) => status === 'rejected');
  assert.equal(refused.length, 8, 'two run, a hundred wait');
  assert.equal(await passwords.match('x', undefined), false, 'afterwards all is as before');
});
