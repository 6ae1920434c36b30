/**
 * Random writes, SIGKILL in the middle, and again on the same directory. After every round: what was acknowledged
 * is there, what was not is there whole or not at all, and revisions have not gone back.
 *
 * 20 rounds in `npm test`, 1,000 in `npm run test:durability` (TULLE_KILL_ROUNDS).
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { KV } from '../../src/store/wire/generated/kv_pb.ts';
import { callUnary } from '../../src/store/wire/service.ts';
import { within } from '../support/eventually.ts';
import { TulleStore } from '../support/tulle-store.ts';

const ROUNDS = Number(process.env['TULLE_KILL_ROUNDS'] ?? 20);
/** Writers at once, so that groups of requests share a commit. */
const WRITERS = 12;
/** After the first acknowledgement of a round. */
const WRITING_MS = { min: 0, max: 60 };

const bytes = (value: string) => Uint8Array.from(Buffer.from(value));

/** Two keys that every write of one writer sets together, to the same number. */
const pairOf = (writer: number) => [`w${writer}/left`, `w${writer}/right`] as const;

/** The last number of each writer that was acknowledged, and the last that it has sent. */
interface Progress {
  acknowledged: number;
  asked: number;
}

/** One with connections of its own: those of a store that was killed wait before they are tried again, and fail meanwhile. */
function connect(store: TulleStore): Client {
  return new Client(`127.0.0.1:${store.port}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
}

/** Writes 1, 2, 3, ... until the store is gone. @returns the newest acknowledged revision. */
async function write(
  client: Client,
  writer: number,
  progress: Progress,
  onAcknowledged: () => void,
): Promise<bigint> {
  let revision = 0n;
  for (;;) {
    const next = progress.asked + 1;
    progress.asked = next;
    // Sizes that fill pages differently, so that a torn write would be seen.
    const value = bytes(`${next}:${'x'.repeat(randomInt(0, 3000))}`);
    const success = pairOf(writer).map(key => ({
      request: { case: 'requestPut' as const, value: { key: bytes(key), value } },
    }));
    try {
      const answer = await callUnary(client, KV.method.txn, { success }, new Metadata());
      progress.acknowledged = next;
      onAcknowledged();
      revision = answer.header?.revision ?? revision;
    } catch {
      return revision;
    }
  }
}

async function read(
  client: Client,
  key: string,
): Promise<{ readonly value: string; readonly revision: bigint }> {
  const answer = await callUnary(client, KV.method.range, { key: bytes(key) }, new Metadata());
  return {
    value: Buffer.from(answer.kvs[0]?.value ?? []).toString(),
    revision: answer.header?.revision ?? 0n,
  };
}

test(`${ROUNDS} kills lose no acknowledged write and show no half one`, { timeout: 3_600_000 }, async () => {
  await using store = await TulleStore.start();
  const progress: Progress[] = Array.from({ length: WRITERS }, () => ({ acknowledged: 0, asked: 0 }));
  let acknowledged = 0n;
  for (let round = 0; round < ROUNDS; round++) {
    const writing = connect(store);
    const { promise: first, resolve: onFirst } = Promise.withResolvers<void>();
    const writers = progress.map((own, writer) => write(writing, writer, own, onFirst));
    // However long that takes, a round has writes to lose; then any moment is as good as another.
    await within('a write is acknowledged', first);
    await sleep(randomInt(WRITING_MS.min, WRITING_MS.max));
    await store.kill();
    for (const revision of await Promise.all(writers)) if (revision > acknowledged) acknowledged = revision;
    writing.close();

    await store.restart();
    const reading = connect(store);
    for (const [writer, own] of progress.entries()) {
      const [left, right] = await Promise.all(pairOf(writer).map(key => read(reading, key)));
      assert.equal(left?.value, right?.value, `round ${round}: writer ${writer} sees half a transaction`);
      const found = Number((left?.value ?? '').split(':')[0] || 0);
      assert.ok(
        found >= own.acknowledged,
        `round ${round}: writer ${writer} lost ${own.acknowledged}, found ${found}`,
      );
      assert.ok(found <= own.asked, `round ${round}: writer ${writer} never wrote ${found}`);
      assert.ok((left?.revision ?? 0n) >= acknowledged, `round ${round}: the revision went back`);
      own.asked = found;
      own.acknowledged = found;
    }
    reading.close();
  }
});
