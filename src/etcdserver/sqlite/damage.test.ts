/** What happens to the files of a store, and what the store says about it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { bytes, copyOf, fill, read, withDirectory } from '../../../test/support/database.ts';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { Watch } from '../../store/wire/generated/watch_pb.ts';
import { callUnary, openStream } from '../../store/wire/service.ts';
import { storeOptions } from '../../testing/store-options.ts';
import { acceptLoss } from '../accept-loss.ts';
import { identityOf } from '../identity.ts';
import { StoreServer } from '../store-server.ts';
import { AcknowledgedFile, NOTHING_YET } from './acknowledged.ts';
import { Database } from './database.ts';
import { Tables } from './tables.ts';

/** The values in key order, as long as there are some. */
const values = (database: Database) =>
  Array.from({ length: 30 }, (_, index) => read(database, `k${index}`)).filter(value => value !== '');

test('E4: a log that ends in a torn write loses that write and no other', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    using database = Database.open(path);
    fill(database, 10);
    database.flushNow();
    const acknowledged = statSync(`${path}-wal`).size;
    fill(database, 30, 10);
    const size = statSync(`${path}-wal`).size;
    let survivors = 30;
    for (const cut of [0, 7, 4096, 9000, 20_000, size - acknowledged]) {
      const copy = copyOf(path, join(dir, `copy-${cut}.db`));
      truncateSync(`${copy}-wal`, size - cut);
      using after = Database.open(copy);
      const found = values(after);
      assert.deepEqual(
        found,
        Array.from({ length: found.length }, (_, index) => `value ${index}`),
      );
      assert.ok(found.length <= survivors, 'the more is cut, the less is left');
      assert.ok(cut > 0 || found.length === 30);
      survivors = found.length;
    }
    assert.equal(survivors, 10, 'what was acknowledged is left');
  }));

test('E4: damage in the log in front of what was acknowledged is refused, and the files are left alone', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    using database = Database.open(path);
    fill(database, 30);
    database.flushNow();
    const { size } = statSync(`${path}-wal`);
    const damages: Record<string, (log: Buffer) => Buffer> = {
      'a page': log => log.fill(0xa5, size / 2, size / 2 + 16),
      'the checksum of a page': log => log.fill(0xa5, 32 + 16, 32 + 24),
      'the header': log => log.fill(0xa5, 8, 12),
      'the end, between two writes': log => log.subarray(0, size - 2 * 4120),
      'all of it': log => log.subarray(0, 0),
    };
    for (const [name, damage] of Object.entries(damages)) {
      const copy = copyOf(path, join(dir, `${name}.db`));
      const damaged = damage(readFileSync(`${copy}-wal`));
      writeFileSync(`${copy}-wal`, damaged);
      const before = readFileSync(copy);
      const refused = {
        code: 'WRITES_LOST',
        message: /revision 31 was acknowledged, and (what is left ends at revision \d+|nothing is left)/,
        hint: /tulle store restore .* tulle store accept-loss --data-dir/,
      };
      assert.throws(() => Database.open(copy), refused, name);
      assert.throws(() => Database.open(copy), refused, 'and again');
      assert.deepEqual([readFileSync(copy), readFileSync(`${copy}-wal`)], [before, damaged], name);
    }
  }));

test('E4: a database that is missing, emptied or older than what was acknowledged is refused', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    const older = join(dir, 'older.db');
    for (const count of [1, 30]) {
      using database = Database.open(path);
      if (count === 30) copyFileSync(path, older);
      fill(database, count, count === 30 ? 1 : 0);
      database.flushNow();
    }
    const refused = { code: 'WRITES_LOST', message: /revision 31 was acknowledged/ };
    copyFileSync(older, path);
    assert.throws(() => Database.open(path), refused);
    truncateSync(path);
    assert.throws(() => Database.open(path), refused);
    rmSync(path);
    assert.throws(() => Database.open(path), refused);
    rmSync(`${path}-ack`);
    Database.open(path)[Symbol.dispose]();
  }));

test('E4: a loss is accepted on request, and the store is another one then', () =>
  withDirectory(dir => {
    const path = join(dir, 'store.db');
    const killed = join(dir, 'killed');
    mkdirSync(killed);
    const copy = join(killed, 'store.db');
    let before: bigint;
    {
      using database = Database.open(path);
      before = identityOf(new Tables(database)).clusterId;
      fill(database, 10);
      const { size } = statSync(`${path}-wal`);
      fill(database, 30, 10);
      database.flushNow();
      copyOf(path, copy);
      truncateSync(`${copy}-wal`, size);
    }
    assert.deepEqual(acceptLoss(killed), { acknowledged: 31n, left: 11n });
    assert.equal(acceptLoss(killed), undefined, 'nothing more is lost');
    using after = Database.open(copy);
    assert.equal(values(after).length, 10);
    assert.notEqual(identityOf(new Tables(after)).clusterId, before);
  }));

test('a damaged file is refused, and the error names the way back', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    {
      using database = Database.open(path);
      fill(database, 500);
    }
    const whole = readFileSync(path);
    const value = whole.indexOf('value 321');
    const damages: [string, (content: Buffer) => Buffer][] = [
      ['a page overwritten', content => content.fill(0xa5, 8192, 12_288)],
      ['cut short', content => content.subarray(0, content.byteLength - 8192)],
      ['cut within a page', content => content.subarray(0, content.byteLength - 1000)],
      ['another file', () => Buffer.from('this is no database at all, and never was one')],
      // E4
      ['one byte of a value', content => content.fill('w', value, value + 1)],
    ];
    for (const [name, damage] of damages) {
      writeFileSync(path, damage(Buffer.from(whole)));
      assert.throws(
        () => Database.open(path),
        { code: 'CORRUPT_DATABASE', hint: /tulle store restore/ },
        name,
      );
    }
  }));

test('E4: a row that is damaged under a running store is not handed out', () =>
  withDirectory(dir => {
    using database = Database.open(join(dir, 'x.db'));
    fill(database, 3);
    database.prepare('UPDATE current SET value = ? WHERE key = ?').run(bytes('changed'), bytes('k1'));
    const tables = new Tables(database);
    assert.throws(() => database.attempt(() => tables.get(bytes('k1'))), {
      code: 'CORRUPT_DATABASE',
      message: /the checksum of "k1" is wrong/,
    });
    assert.equal(read(database, 'k2'), 'value 2');
    assert.equal(database.damage?.code, 'CORRUPT_DATABASE');
  }));

test('a first start that is cut off at any point is followed by another one', () =>
  withDirectory(dir => {
    const path = join(dir, 'x.db');
    const unfinished = new DatabaseSync(path);
    unfinished.exec('PRAGMA journal_mode = WAL');
    unfinished.close();
    using file = new AcknowledgedFile(path);
    file.writeNow(NOTHING_YET);
    using database = Database.open(path);
    fill(database, 1);
    assert.equal(read(database, 'k0'), 'value 0');
  }));

test('a log that is emptied during an fsync is not asked for at the next start', () =>
  withDirectory(async dir => {
    const path = join(dir, 'x.db');
    using database = Database.open(path);
    fill(database, 10);
    const flushed = database.flush();
    database.defragment();
    await flushed;
    using after = Database.open(copyOf(path, join(dir, 'copy.db')));
    assert.equal(values(after).length, 10);
  }));

// E4: what a client sees while the store runs.
test('a damaged value is answered with DATA_LOSS, ends watches that need it, and turns health false', () =>
  withDirectory(async dir => {
    await using server = await StoreServer.start({ ...storeOptions(dir), advertise: [] });
    const url = `127.0.0.1:${server.ports[0]}`;
    const client = new Client(url, credentials.createInsecure());
    try {
      for (const key of ['a', 'b']) {
        await callUnary(client, KV.method.put, { key: bytes(key), value: bytes('whole') }, new Metadata());
      }
      using disk = new DatabaseSync(join(dir, 'store.db'));
      for (const table of ['current', 'history']) {
        disk.prepare(`UPDATE ${table} SET value = ? WHERE key = ?`).run(bytes('wrong'), bytes('a'));
      }
      const get = (key: string) => callUnary(client, KV.method.range, { key: bytes(key) }, new Metadata());
      await assert.rejects(get('a'), { code: 15, details: /the checksum of "a" is wrong/ });
      assert.equal((await get('b')).kvs.length, 1);

      const watch = openStream(client, Watch.method.watch, new Metadata());
      const ended = once(watch, 'error');
      watch.resume();
      watch.write({
        requestUnion: { case: 'createRequest', value: { key: bytes('a'), startRevision: 1n } },
      });
      const [error] = (await ended) as [ServiceError];
      assert.equal(error.code, 15);

      const health = await fetch(`http://${url}/health`);
      assert.equal(health.status, 503);
      assert.match(await health.text(), /store\.db is damaged/);
    } finally {
      client.close();
    }
  }));
