/** Files of a store that are elsewhere, or not there any more. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyOf, fill, read, withDirectory } from '../../../test/support/database.ts';
import { Database } from './database.ts';
import { databaseIn } from './files.ts';

test('E4: what was put into files that are gone is not acknowledged, and goes on when they are back', () =>
  withDirectory(dir => {
    using database = Database.open(join(dir, 'x.db'));
    fill(database, 3);
    for (const suffix of ['', '-wal', '-ack']) {
      const file = join(dir, `x.db${suffix}`);
      renameSync(file, `${file}.away`);
      assert.throws(() => fill(database, 3), {
        code: 'DISK_FAILED',
        message: `${file} was removed or replaced while the store has it open`,
        hint: /tulle store snapshot/,
      });
      database.rollback();
      assert.match(database.removal?.message ?? '', /removed or replaced/);
      assert.equal(read(database, 'k1'), 'value 1', 'what it has can still be saved');
      renameSync(`${file}.away`, file);
      assert.equal(database.removal, undefined);
    }
    fill(database, 3);
  }));

test('E4: a database that was moved to another disk and linked is the same one, after a crash as well', () =>
  withDirectory(dir => {
    const [data, disk] = [join(dir, 'data'), join(dir, 'disk')];
    for (const path of [data, disk]) mkdirSync(path);
    {
      using database = Database.open(databaseIn(data));
      fill(database, 3);
    }
    renameSync(join(data, 'store.db'), join(disk, 'store.db'));
    renameSync(join(data, 'store.db-ack'), join(disk, 'store.db-ack'));
    symlinkSync(join(disk, 'store.db'), join(data, 'store.db'));
    const copy = join(dir, 'copy.db');
    {
      using database = Database.open(databaseIn(data));
      fill(database, 6);
      database.flushNow();
      copyOf(join(disk, 'store.db'), copy);
    }
    for (const part of ['', '-wal', '-ack']) renameSync(copy + part, join(disk, `store.db${part}`));
    using database = Database.open(databaseIn(data));
    assert.equal(read(database, 'k5'), 'value 5');
  }));
