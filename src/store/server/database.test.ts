import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Database } from './database.ts';
import { identityOf } from './identity.ts';
import { Mvcc } from './mvcc.ts';
import { restoreSnapshot } from './restore.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { Tables } from './tables.ts';

const bytes = (text: string) => Uint8Array.from(Buffer.from(text));

function withDirectory(body: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'tt-database-'));
  return Promise.resolve(body(dir)).finally(() => rmSync(dir, { recursive: true, force: true }));
}

/** One put per commit, as a client would do them. */
function fill(database: Database, count: number): void {
  const mvcc = new Mvcc(new Tables(database));
  for (let index = 0; index < count; index++) {
    database.begin();
    const writer = mvcc.write();
    writer.put(bytes(`k${index}`), bytes(`value ${index}`), 0n);
    mvcc.finish(writer);
    database.commit();
  }
  database.flushNow();
}

const read = (database: Database, key: string) =>
  Buffer.from(new Tables(database).get(bytes(key))?.value ?? []).toString();

test('a second store on the same file is refused', () =>
  withDirectory(dir => {
    using _ = Database.open(join(dir, 'x.db'));
    assert.throws(() => Database.open(join(dir, 'x.db')), { code: 'DATABASE_IN_USE' });
  }));

test('D6: only the owner reads what a store writes, whatever the directory, the umask and the past', () =>
  withDirectory(async dir => {
    chmodSync(dir, 0o755);
    const umask = process.umask(0o022);
    try {
      for (const name of ['x.db', 'x.db-lock']) writeFileSync(join(dir, name), '', { mode: 0o644 });
      using database = Database.open(join(dir, 'x.db'));
      fill(database, 1);
      await database.copyTo(join(dir, 'copy'));
      const modes = readdirSync(dir).map(name => [name, statSync(join(dir, name)).mode & 0o777] as const);
      assert.deepEqual(
        modes.filter(([, mode]) => mode !== 0o600),
        [],
      );
      assert.ok(modes.length >= 5, 'database, log, index, lock, copy');
    } finally {
      process.umask(umask);
    }
  }));

test('a log that ends in a torn write loses that write and no other', () =>
  withDirectory(async dir => {
    const path = join(dir, 'x.db');
    using database = Database.open(path);
    fill(database, 30);
    // What a machine leaves that loses power: the files as they are, the log cut somewhere.
    const size = statSync(`${path}-wal`).size;
    let survivors = 30;
    for (const cut of [0, 7, 4096, 9000, 20_000]) {
      const copy = join(dir, `copy-${cut}.db`);
      await copyFile(path, copy);
      await copyFile(`${path}-wal`, `${copy}-wal`);
      truncateSync(`${copy}-wal`, size - cut);
      using after = Database.open(copy);
      const found = Array.from({ length: 30 }, (_, index) => read(after, `k${index}`)).filter(
        value => value !== '',
      );
      assert.deepEqual(
        found,
        Array.from({ length: found.length }, (_, index) => `value ${index}`),
      );
      assert.ok(found.length <= survivors, 'the more is cut, the less is left');
      assert.ok(cut > 0 || found.length === 30);
      survivors = found.length;
    }
  }));

test('zeros behind the log, written to make it longer, change nothing', () =>
  withDirectory(async dir => {
    const path = join(dir, 'x.db');
    using database = Database.open(path);
    fill(database, 10);
    while (!database.extendLog());
    fill(database, 20);
    const copy = join(dir, 'copy.db');
    await copyFile(path, copy);
    await copyFile(`${path}-wal`, `${copy}-wal`);
    using after = Database.open(copy);
    assert.equal(read(after, 'k19'), 'value 19');
  }));

test('a damaged file is refused, and the error names the way back', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    {
      using database = Database.open(path);
      fill(database, 500);
    }
    const whole = readFileSync(path);
    const damages: [string, (content: Buffer) => Buffer][] = [
      ['a page overwritten', content => (content.fill(0xa5, 8192, 12_288), content)],
      ['cut short', content => content.subarray(0, content.byteLength - 8192)],
      ['another file', () => Buffer.from('this is no database at all, and never was one')],
    ];
    for (const [name, damage] of damages) {
      const target = join(dir, `${name}.db`);
      writeFileSync(target, damage(Buffer.from(whole)));
      assert.throws(
        () => Database.open(target),
        { code: 'CORRUPT_DATABASE', hint: /tulle store restore/ },
        name,
      );
    }
  }));

test('a file of another program or of a newer Tulle is left alone', () =>
  withDirectory(dir => {
    const other = new DatabaseSync(join(dir, 'other.db'));
    other.exec('CREATE TABLE t (x)');
    other.close();
    assert.throws(() => Database.open(join(dir, 'other.db')), /another program/);

    Database.open(join(dir, 'newer.db'))[Symbol.dispose]();
    const newer = new DatabaseSync(join(dir, 'newer.db'));
    newer.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    newer.close();
    assert.throws(() => Database.open(join(dir, 'newer.db')), { code: 'NEWER_SCHEMA' });
  }));

test('a snapshot is restored whole, with another cluster id, and never over a database', () =>
  withDirectory(async dir => {
    const snapshot = join(dir, 'snapshot');
    let before: bigint;
    {
      using database = Database.open(join(dir, 'x.db'));
      fill(database, 50);
      before = identityOf(new Tables(database)).clusterId;
      await database.copyTo(snapshot);
    }
    const target = join(dir, 'new');
    assert.equal(await restoreSnapshot(snapshot, target), 51n);
    using restored = Database.open(join(target, 'store.db'));
    assert.equal(read(restored, 'k49'), 'value 49');
    assert.notEqual(identityOf(new Tables(restored)).clusterId, before);
    await assert.rejects(restoreSnapshot(snapshot, target), { code: 'EXISTS' });
  }));

test('a snapshot with a wrong checksum is refused, and leaves nothing behind', () =>
  withDirectory(async dir => {
    const snapshot = join(dir, 'snapshot');
    {
      using database = Database.open(join(dir, 'x.db'));
      fill(database, 5);
      await database.copyTo(snapshot);
    }
    await using file = await open(snapshot, 'a');
    await file.write(Buffer.alloc(32, 1));
    await assert.rejects(restoreSnapshot(snapshot, join(dir, 'new')), { code: 'CORRUPT_DATABASE' });
    assert.throws(() => statSync(join(dir, 'new', 'store.db')), { code: 'ENOENT' });
  }));

test('a snapshot that SQLite will not write to is refused in our words', () =>
  withDirectory(async dir => {
    const path = join(dir, 'x.db');
    const snapshot = join(dir, 'snapshot.db');
    {
      using database = Database.open(path);
      fill(database, 3);
      await database.copyTo(snapshot);
    }
    // The file format's "write version" (sqlite.org/fileformat.html, 1.3.3), of a future one.
    const content = readFileSync(snapshot);
    content[18] = 3;
    writeFileSync(snapshot, content);
    await assert.rejects(restoreSnapshot(snapshot, join(dir, 'new')), {
      name: 'DatabaseError',
      code: 'DISK_FAILED',
    });
  }));
