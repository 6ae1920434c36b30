/** A snapshot becomes the database of a new store. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { newIdentity } from '../identity.ts';
import { AcknowledgedFile, NOTHING_YET } from './acknowledged.ts';
import { Database } from './database.ts';
import { DatabaseError, translating } from './database-error.ts';
import { DATABASE_FILE } from './files.ts';
import { Tables } from './tables.ts';

/** Bytes of the SHA-256 behind the database in a snapshot that came over the wire. */
const HASH_BYTES = 32;
/** A database is a multiple of this, so the remainder shows whether there is a hash; etcd's own rule. */
const SECTOR = 512;

const OTHER_SNAPSHOT = 'take another snapshot, or use an older one';

/**
 * Checks `file` (of `tulle store snapshot`, `etcdctl snapshot save`, or a copy of a stopped store's database) and
 * puts it into `dataDir`, whole or not at all. The new store has a new cluster id: its revisions may go back in
 * time, and clients that remember newer ones must notice.
 * @returns the newest revision in it. @throws DatabaseError
 */
export async function restoreSnapshot(file: string, dataDir: string): Promise<bigint> {
  const target = join(dataDir, DATABASE_FILE);
  for (const path of [target, `${target}-wal`]) {
    if (!existsSync(path)) continue;
    throw new DatabaseError('EXISTS', `${path} exists already`, {
      context: { path },
      hint: 'restore into an empty --data-dir, and keep the old one until the new one serves',
    });
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const temporary = join(dataDir, `${DATABASE_FILE}.${randomUUID()}`);
  try {
    // Unlike copyFile, a failure names the file that it is about, and no other.
    await pipeline(createReadStream(file), createWriteStream(temporary, { mode: 0o600, flags: 'wx' }));
    await cutHash(temporary, file);
    await copyRest(file, temporary);
    const revision = adopt(temporary, file);
    await sync(temporary);
    forget(target);
    await rename(temporary, target);
    await sync(dataDir);
    return revision;
  } finally {
    for (const name of await readdir(dataDir)) {
      if (join(dataDir, name).startsWith(temporary)) await rm(join(dataDir, name));
    }
  }
}

/** A store that was killed has its newest writes in its log; a snapshot is one file. */
async function copyRest(file: string, to: string): Promise<void> {
  if (!existsSync(`${file}-ack`)) return forget(to);
  for (const rest of ['-ack', '-wal']) if (existsSync(file + rest)) await copyFile(file + rest, to + rest);
}

/** Nothing was acknowledged by this database yet. */
function forget(path: string): void {
  using file = new AcknowledgedFile(path);
  file.writeNow(NOTHING_YET);
}

/** Checks the hash behind the database, if there is one, and takes it off. */
async function cutHash(path: string, source: string): Promise<void> {
  await using file = await open(path, 'r+');
  const { size } = await file.stat();
  if (size % SECTOR !== HASH_BYTES) return;
  const body = size - HASH_BYTES;
  const hash = createHash('sha256');
  for await (const chunk of file.createReadStream({ start: 0, end: body - 1, autoClose: false })) {
    hash.update(chunk as Buffer);
  }
  const wanted = Buffer.alloc(HASH_BYTES);
  await file.read(wanted, 0, HASH_BYTES, body);
  if (!hash.digest().equals(wanted)) {
    throw new DatabaseError('CORRUPT_DATABASE', `${source} is damaged: its checksum is wrong`, {
      context: { path: source },
      hint: OTHER_SNAPSHOT,
    });
  }
  await file.truncate(body);
}

/** Opening examines the file and migrates the tables. @param source the file it is a copy of, which errors name */
function adopt(path: string, source: string): bigint {
  try {
    return translating(path, () => {
      using database = Database.open(path);
      const tables = new Tables(database);
      newIdentity(tables);
      return tables.newestRevision();
    });
  } catch (error) {
    throw error instanceof DatabaseError ? aboutSource(error, path, source) : error;
  }
}

/** Advice on the database of a store does not fit a snapshot: the copy is gone, and the source is in no store. */
function aboutSource({ code, message, cause, hint }: DatabaseError, path: string, source: string) {
  const isBad = code === 'CORRUPT_DATABASE' || code === 'WRITES_LOST';
  const advice = isBad ? OTHER_SNAPSHOT : hint;
  return new DatabaseError(code, message.replaceAll(path, source), {
    cause,
    context: { path: source },
    ...(advice === undefined ? {} : { hint: advice }),
  });
}

async function sync(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}
