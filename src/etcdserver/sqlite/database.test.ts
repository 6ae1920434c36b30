import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { bytes, copyOf, fill, read, withDirectory } from '../../../test/support/database.ts';
import { identityOf } from '../identity.ts';
import { Database } from './database.ts';
import type { DatabaseError } from './database-error.ts';
import { restoreSnapshot } from './restore.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';
import { Tables } from './tables.ts';

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

test('zeros behind the log, written to make it longer, change nothing', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    using database = Database.open(path);
    fill(database, 10);
    while (!database.extendLog());
    fill(database, 20);
    using after = Database.open(copyOf(path, join(dir, 'copy.db')));
    assert.equal(read(after, 'k19'), 'value 19');
  }));

test('a database of the first version gets its checksums', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    const old = new DatabaseSync(path);
    old.exec(`${MIGRATIONS[0]}; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = 1`);
    old.prepare('INSERT INTO current VALUES (?, 2, 2, 1, 0, ?)').run(bytes('k0'), bytes('value 0'));
    old.close();
    for (let start = 0; start < 2; start++) {
      using database = Database.open(path);
      assert.equal(read(database, 'k0'), 'value 0');
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

test('E4: the database of a killed store is restored with what is in its log, and refused without', () =>
  withDirectory(async dir => {
    const killed = join(dir, 'killed.db');
    {
      using database = Database.open(join(dir, 'x.db'));
      fill(database, 30);
      database.flushNow();
      copyOf(database.path, killed);
    }
    assert.equal(await restoreSnapshot(killed, join(dir, 'new')), 31n);
    writeFileSync(`${killed}-wal`, '');
    await assert.rejects(restoreSnapshot(killed, join(dir, 'newer')), { code: 'WRITES_LOST' });
  }));

test('E4: a snapshot is not restored beside the log of another database', () =>
  withDirectory(async dir => {
    const snapshot = join(dir, 'snapshot');
    {
      using database = Database.open(join(dir, 'x.db'));
      await database.copyTo(snapshot);
    }
    writeFileSync(join(dir, 'store.db-wal'), 'x');
    await assert.rejects(restoreSnapshot(snapshot, dir), { code: 'EXISTS', message: /store\.db-wal/ });
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

test('a file that cannot be restored is named, and not the copy of it that was tried', () =>
  withDirectory(async dir => {
    const text = join(dir, 'text');
    writeFileSync(text, 'no database\n'.repeat(1000));
    const half = join(dir, 'half');
    {
      using database = Database.open(join(dir, 'x.db'));
      fill(database, 30);
      database.flushNow();
      copyOf(database.path, half);
      writeFileSync(`${half}-wal`, '');
    }
    for (const file of [text, half, join(dir, 'missing'), dir]) {
      await assert.rejects(restoreSnapshot(file, join(dir, 'new')), (error: DatabaseError) => {
        assert.doesNotMatch(`${error.message} ${error.hint}`, /store\.db/);
        if (file !== dir) assert.ok(error.message.includes(file), error.message);
        return true;
      });
    }
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
