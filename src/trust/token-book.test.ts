import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../base/manual-clock.ts';
import { TokenBook } from './token-book.ts';

const HOUR = 3_600_000;

function book(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'tt-tokens-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'tokens.json');
  const clock = new ManualClock();
  return { path, clock, book: new TokenBook(path, clock), again: () => new TokenBook(path, clock) };
}

test('a token is accepted until it expires, by every reader of the file', async t => {
  const { book: first, again, clock } = book(t);
  const token = await first.create(HOUR);
  assert.equal(await again().accepts(token), true);
  await clock.advance(HOUR - 1);
  assert.equal(await again().accepts(token), true);
  await clock.advance(1);
  assert.equal(await again().accepts(token), false);
  assert.deepEqual(await again().list(), []);
});

test('a revoked token is refused at once, and the others stay', async t => {
  const { book: first, again } = book(t);
  const [one, two] = [await first.create(HOUR), await first.create(HOUR)];
  assert.equal(await again().revoke(one.id), true);
  assert.equal(await first.accepts(one), false);
  assert.equal(await first.accepts(two), true);
  assert.equal(await first.revoke(one.id), false);
});

test('a wrong secret, another token’s secret and an unknown id are refused', async t => {
  const { book: first } = book(t);
  const [one, two] = [await first.create(HOUR), await first.create(HOUR)];
  assert.equal(await first.accepts({ id: one.id, secret: two.secret }), false);
  assert.equal(await first.accepts({ id: one.id, secret: '' }), false);
  assert.equal(await first.accepts({ id: '0123456789ab', secret: one.secret }), false);
});

test('the file holds no secret, and only root reads it', async t => {
  const { book: first, path } = book(t);
  const { secret } = await first.create(HOUR);
  assert.ok(!readFileSync(path, 'utf8').includes(secret));
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('a damaged file accepts nobody and says what to do', async t => {
  const { book: first, path } = book(t);
  const token = await first.create(HOUR);
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, -10));
  await assert.rejects(first.accepts(token), { code: 'TOKEN_REFUSED' });
});
