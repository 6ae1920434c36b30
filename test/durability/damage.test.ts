/**
 * Bytes of a store's files are changed, overwritten, cut off, and whole files are emptied or removed. After each
 * such damage the store has everything that was acknowledged, exactly as it was, or refuses to start or to answer
 * with an error that says why. (E4)
 *
 * 100 damages in `npm test`, always the same; 1,000 others each time in `npm run test:durability` (TULLE_DAMAGES). The seed is
 * printed; TULLE_DAMAGE_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { AuthStore } from '../../src/etcdserver/auth/auth-store.ts';
import { Core } from '../../src/etcdserver/core.ts';
import { Lessor } from '../../src/etcdserver/lease/lessor.ts';
import { Database } from '../../src/etcdserver/sqlite/database.ts';
import { DatabaseError } from '../../src/etcdserver/sqlite/database-error.ts';
import { Tables } from '../../src/etcdserver/sqlite/tables.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';

const { TULLE_DAMAGES, TULLE_DAMAGE_SEED } = process.env;
const DAMAGES = Number(TULLE_DAMAGES ?? 100);
const SEED = Number(TULLE_DAMAGE_SEED ?? (TULLE_DAMAGES === undefined ? 20_261 : randomInt(2 ** 31)));
/** The ones that hold something more often. */
const FILES = [
  'store.db',
  'store.db',
  'store.db',
  'store.db-wal',
  'store.db-wal',
  'store.db-wal',
  'store.db-ack',
  'store.db-ack',
  'store.db-shm',
  'store.db-lock-journal',
];
const PAGE = 4096;
const FRAME = PAGE + 24;

/** Everything the files hold. @throws DatabaseError */
function contents(directory: string): string {
  using database = Database.open(join(directory, 'store.db'));
  const tables = new Tables(database);
  const auth = new AuthStore(database, tables);
  const lessor = new Lessor(database, tables, systemClock);
  const leases = lessor.list().map(id => [id, lessor.timeToLive(id)?.granted]);
  const shown = {
    current: tables.list({ start: new Uint8Array(), end: undefined, single: false }, 0n, false),
    history: tables.since(0n, 1_000_000, Number.MAX_SAFE_INTEGER),
    revision: tables.newestRevision(),
    leases,
    users: auth.users().map(name => [name, auth.passwordOf(name), auth.rolesOf(name)]),
    roles: auth.roles().map(role => [role, auth.grantsOf(role)]),
  };
  return JSON.stringify(shown, (_key, value: unknown) =>
    typeof value === 'bigint'
      ? String(value)
      : value instanceof Uint8Array
        ? Buffer.from(value).toString('hex')
        : value,
  );
}

/** Leaves in `directory` what a killed store leaves, or one that was stopped in order. */
async function fill(
  directory: string,
  writes: number,
  killed: boolean,
  random: (below: number) => number,
): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'tt-damage-work-'));
  const path = join(work, 'store.db');
  try {
    await using core = new Core({
      path,
      clock: systemClock,
      log: silentLogger,
      quota: undefined,
      progressMs: 600_000,
      onDiskFailed: assert.ifError,
    });
    await core.update(() => core.lessor.grant(7n, 3600n));
    await core.update(() =>
      core.auth.addUser('ada', { salt: Buffer.alloc(16, 1), hash: Buffer.alloc(32, 2) }),
    );
    await core.update(() => core.auth.addRole('reader'));
    await core.update(() => core.auth.grantRole('ada', 'reader'));
    await core.update(() =>
      core.auth.grantPermission('reader', { key: Buffer.from('k'), rangeEnd: Buffer.from('l'), permType: 0 }),
    );
    for (let written = 0; written < writes; written++) {
      const key = Buffer.from(`key/${random(80)}`);
      const value = Buffer.alloc(random(10) === 0 ? random(20_000) : random(600), written);
      await core.write(writer => writer.put(key, value, random(3) === 0 ? 7n : 0n));
      if (written === 60) await core.update(() => core.mvcc.compact(40n));
      // The log starts over in the middle of everything.
      if (written === 100) core.database.finishCheckpoint();
    }
    await core.sweep();
    if (killed) {
      core.database.extendLog();
      cpSync(work, directory, { recursive: true });
    }
  } finally {
    if (!killed) cpSync(work, directory, { recursive: true });
    rmSync(work, { recursive: true });
  }
}

/** Damages one file. @returns what was done, or undefined when there was nothing to damage. */
function damage(directory: string, random: (below: number) => number): string | undefined {
  const name = FILES[random(FILES.length)] ?? '';
  const path = join(directory, name);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  const size = bytes.byteLength;
  if (size === 0) return undefined;
  const at = random(random(4) === 0 ? Math.min(size, 512) : size);
  const unit = name === 'store.db-wal' ? FRAME : PAGE;
  const boundary = (name === 'store.db-wal' ? 32 : 0) + random(Math.floor(size / unit) + 1) * unit;
  switch (random(8)) {
    case 0:
      rmSync(path);
      return `${name} removed`;
    case 1:
      writeFileSync(path, bytes.subarray(0, at));
      return `${name} cut to ${at} of ${size} bytes`;
    case 2:
      writeFileSync(path, bytes.subarray(0, boundary));
      return `${name} cut to ${boundary} of ${size} bytes, between two pages`;
    case 3:
      writeFileSync(path, bytes.fill(0, at, Math.min(at + 512, size)));
      return `512 zeros in ${name} at ${at}`;
    case 4:
      for (let more = 0; more < 16 && at + more < size; more++) bytes[at + more] = random(256);
      writeFileSync(path, bytes);
      return `16 bytes of ${name} at ${at}`;
    case 5:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      writeFileSync(path, bytes);
      return `one bit of ${name} at ${at}`;
    default:
      bytes[at] = (bytes[at] ?? 0) ^ (1 + random(255));
      writeFileSync(path, bytes);
      return `one byte of ${name} at ${at}`;
  }
}

test(`E4: ${DAMAGES} damages are harmless or refused, seed ${SEED}`, { timeout: 3_600_000 }, async t => {
  const draw = seededRandom(SEED);
  const random = (below: number) => Math.floor(draw() * below);
  const parent = mkdtempSync(join(tmpdir(), 'tt-damage-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const states: { readonly directory: string; readonly whole: string }[] = [];
  // One after the other, so that each draws the same numbers in every run of a seed.
  for (const killed of [true, false]) {
    const directory = join(parent, killed ? 'killed' : 'stopped');
    await fill(directory, 250, killed, random);
    const copy = join(parent, 'copy');
    cpSync(directory, copy, { recursive: true });
    const whole = contents(copy);
    rmSync(copy, { recursive: true });
    states.push({ directory, whole });
  }
  const outcomes = new Map<string, number>();
  for (let done = 0; done < DAMAGES; ) {
    // Most of what can be lost is in the log of a store that was killed.
    const state = states[random(4) === 0 ? 1 : 0];
    if (state === undefined) continue;
    const copy = join(parent, 'damaged');
    cpSync(state.directory, copy, { recursive: true });
    const what = damage(copy, random);
    if (what !== undefined) {
      done++;
      const outcome = attempt(copy);
      const seen = outcome instanceof DatabaseError ? outcome.code : 'harmless';
      outcomes.set(seen, (outcomes.get(seen) ?? 0) + 1);
      if (outcome instanceof DatabaseError) assert.ok(outcome.hint, what);
      else
        assert.ok(outcome === state.whole, `${what}: the store serves something else than was acknowledged`);
    }
    rmSync(copy, { recursive: true });
  }
  t.diagnostic([...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', '));
});

function attempt(directory: string): string | DatabaseError {
  try {
    return contents(directory);
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
}
