import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../testing/manual-clock.ts';
import { Tokens } from './tokens.ts';

test('a token lives as long as it is used, and no longer', async () => {
  const clock = new ManualClock();
  const tokens = new Tokens(clock);
  const token = tokens.issue('anna');
  for (let use = 0; use < 3; use++) {
    await clock.advance(299_999);
    assert.equal(tokens.userOf(token), 'anna');
  }
  await clock.advance(300_000);
  assert.equal(tokens.userOf(token), undefined);
  assert.equal(tokens.userOf('made up'), undefined);
});

test('revoking ends the tokens of one user, or of all', () => {
  const tokens = new Tokens(new ManualClock());
  const [anna, anna2, bert] = [tokens.issue('anna'), tokens.issue('anna'), tokens.issue('bert')];
  tokens.revoke('anna');
  assert.deepEqual(
    [anna, anna2, bert].map(token => tokens.userOf(token)),
    [undefined, undefined, 'bert'],
  );
  tokens.revoke();
  assert.equal(tokens.userOf(bert), undefined);
});

test('tokens that nobody asks for again are forgotten', async () => {
  const clock = new ManualClock();
  const tokens = new Tokens(clock);
  for (let round = 0; round < 5; round++) {
    for (let index = 0; index < 1000; index++) tokens.issue('anna');
    await clock.advance(300_000);
  }
  assert.ok(tokens.size <= 1000, `${tokens.size} are kept`);
});
