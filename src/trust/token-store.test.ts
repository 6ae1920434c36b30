import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../testing/manual-clock.ts';
import { TokenStore } from './token-store.ts';

const HOUR = 3_600_000;

function setUp(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-tokens-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const tokens = join(directory, 'tokens');
  const clock = new ManualClock();
  const again = () => new TokenStore(tokens, clock);
  return {
    directory: tokens,
    fileOf: (id: string) => join(tokens, `${id}.json`),
    clock,
    store: again(),
    again,
  };
}

test('a token is accepted until it expires, by every reader of the file', async t => {
  const { store: first, again, clock } = setUp(t);
  const token = await first.create(HOUR);
  assert.equal((await again().find(token)) !== undefined, true);
  await clock.advance(HOUR - 1);
  assert.equal((await again().find(token)) !== undefined, true);
  await clock.advance(1);
  assert.equal((await again().find(token)) !== undefined, false);
  assert.deepEqual(await again().list(), []);
});

test('a revoked token is refused at once, and the others stay', async t => {
  const { store: first, again } = setUp(t);
  const [one, two] = [await first.create(HOUR), await first.create(HOUR)];
  assert.equal(await again().revoke(one.id), true);
  assert.equal((await first.find(one)) !== undefined, false);
  assert.equal((await first.find(two)) !== undefined, true);
  assert.equal(await first.revoke(one.id), false);
});

test('a wrong secret, another token’s secret and an unknown id are refused', async t => {
  const { store: first } = setUp(t);
  const [one, two] = [await first.create(HOUR), await first.create(HOUR)];
  assert.equal((await first.find({ id: one.id, secret: two.secret })) !== undefined, false);
  assert.equal((await first.find({ id: one.id, secret: '' })) !== undefined, false);
  assert.equal((await first.find({ id: '0123456789ab', secret: one.secret })) !== undefined, false);
});

test('tokens that are made and revoked in the same moment get not in each other’s way', async t => {
  const { store: first, again } = setUp(t);
  const old = await Promise.all(Array.from({ length: 8 }, () => first.create(HOUR)));
  const [made] = await Promise.all([
    Promise.all(Array.from({ length: 8 }, () => again().create(HOUR))),
    Promise.all(old.map(({ id }) => again().revoke(id))),
  ]);
  const listed = (await first.list()).map(({ id }) => id).sort();
  assert.deepEqual(listed, made.map(({ id }) => id).sort());
});

test('the oldest token is listed first, and a new one takes the place of those that have expired', async t => {
  const { store: first, clock, directory } = setUp(t);
  const made: string[] = [];
  for (const hours of [3, 1, 2]) {
    made.push((await first.create(hours * HOUR)).id);
    await clock.advance(1);
  }
  assert.deepEqual(
    (await first.list()).map(({ id }) => id),
    made,
  );
  await clock.advance(2 * HOUR);
  const { id } = await first.create(HOUR);
  assert.deepEqual(readdirSync(directory).sort(), [`${made[0]}.json`, `${id}.json`].sort());
});

test('a name that is no id reaches no file', async t => {
  const { store: first, directory } = setUp(t);
  await first.create(HOUR);
  writeFileSync(join(directory, '..', 'victim.json'), '{}');
  assert.equal(await first.revoke('../victim'), false);
  assert.equal((await first.find({ id: '../victim', secret: '0' })) !== undefined, false);
  assert.equal(readFileSync(join(directory, '..', 'victim.json'), 'utf8'), '{}');
});

test('the file holds no secret, and only root reads it', async t => {
  const { store: first, fileOf, directory } = setUp(t);
  const { id, secret } = await first.create(HOUR);
  assert.ok(!readFileSync(fileOf(id), 'utf8').includes(secret));
  assert.equal(statSync(fileOf(id)).mode & 0o777, 0o600);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
});

test('a damaged file lets nobody in and says what to do; other tokens are as good as before', async t => {
  const { store: first, fileOf } = setUp(t);
  const [token, other] = [await first.create(HOUR), await first.create(HOUR)];
  writeFileSync(fileOf(token.id), readFileSync(fileOf(token.id), 'utf8').slice(0, -10));
  await assert.rejects(first.find(token), { code: 'TOKEN_REFUSED' });
  await assert.rejects(first.list(), { code: 'TOKEN_REFUSED' });
  assert.equal((await first.find(other)) !== undefined, true);
  assert.equal((await first.find(await first.create(HOUR))) !== undefined, true);
  assert.equal(await first.revoke(token.id), true);
  assert.equal((await first.list()).length, 2);
});
