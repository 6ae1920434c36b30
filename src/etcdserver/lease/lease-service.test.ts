import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { within } from '../../../test/support/eventually.ts';
import { silentLogger } from '../../base/log.ts';
import { LeaseKeepAliveRequestSchema } from '../../store/wire/generated/lease_pb.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { Core } from '../core.ts';
import { leaseService } from './lease-service.ts';

const CALLER = { peer: 'test', token: undefined, commonName: undefined, requestBytes: 0 };
const keepAlive = (ID: bigint) => create(LeaseKeepAliveRequestSchema, { ID });

/** A stream of keep-alives on a store with the leases 1 and 2 of 60 s: what is sent on it, and how it ends. */
async function withStream(
  body: (stream: {
    readonly message: (id: bigint) => void;
    readonly end: () => void;
    /** The first answer was sent. */
    readonly answered: Promise<void>;
    readonly closed: Promise<readonly string[]>;
  }) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-lease-service-'));
  try {
    await using core = new Core({
      path: join(directory, 'store.db'),
      clock: new ManualClock(),
      log: silentLogger,
      quota: undefined,
      progressMs: 600_000,
      onDiskFailed: error => assert.fail(error),
    });
    for (const id of [1n, 2n]) await core.update(() => core.lessor.grant(id, 60n));
    const sent: string[] = [];
    const answered = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<readonly string[]>();
    const incoming = leaseService(core).leaseKeepAlive?.(CALLER, {
      signal: new AbortController().signal,
      writable: true,
      send(answer) {
        assert.ok('ID' in answer);
        sent.push(`${answer.ID} for ${answer.TTL} s`);
        answered.resolve();
      },
      drained: () => Promise.resolve(),
      close: error => closed.resolve([...sent, error === undefined ? 'closed' : error.message]),
      onDrain: () => undefined,
    });
    assert.ok(incoming !== undefined);
    await body({
      message: id => incoming.message(keepAlive(id)),
      end: () => incoming.end(),
      answered: answered.promise,
      closed: closed.promise,
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('a client that says at once that it has no more requests gets all answers before the end', () =>
  withStream(async ({ message, end, closed }) => {
    message(1n);
    message(2n);
    message(3n);
    end();
    assert.deepEqual(await within('the stream is closed', closed), [
      '1 for 60 s',
      '2 for 60 s',
      '3 for 0 s',
      'closed',
    ]);
  }));

test('a client that is answered may ask again', () =>
  withStream(async ({ message, end, answered, closed }) => {
    message(1n);
    await within('the first answer is sent', answered);
    // Whatever the service does after an answer, it has done then.
    await immediate();
    message(2n);
    end();
    assert.deepEqual(await within('the stream is closed', closed), ['1 for 60 s', '2 for 60 s', 'closed']);
  }));

test('a client without a request gets the end alone', () =>
  withStream(async ({ end, closed }) => {
    end();
    assert.deepEqual(await within('the stream is closed', closed), ['closed']);
  }));
