/**
 * The same random commands to our store and to real etcd: every answer, every refusal and every watch event must
 * be the same. 100 sequences in `npm test`, 10,000 in `npm run test:oracle` (TULLE_ORACLE_RUNS).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { needsEtcd } from '../support/etcd.ts';
import { type Command, commands } from './commands.ts';
import { startPair } from './pair.ts';
import { Session } from './session.ts';

const RUNS = Number(process.env['TULLE_ORACLE_RUNS'] ?? 100);
const EVERYTHING = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
/** etcd serves watches of the past every 100 ms, and does not report when it has. */
const REPLAY_MS = 400;
const PATIENCE_MS = 5_000;

test('answers and watch events are those of etcd', { ...needsEtcd, timeout: 3_600_000 }, async () => {
  await using pair = await startPair();
  let sequences = 0;
  await fc.assert(
    fc.asyncProperty(commands, async sequence => {
      const ours = new Session(pair.tulle);
      const theirs = new Session(pair.etcd);
      let pastWatches = false;
      const both = async (command: Command) => {
        // A compaction that overtakes the replay for a watch takes deletions from etcd's answer; ours replays at once.
        if (command.do === 'compact' && pastWatches) await sleep(REPLAY_MS);
        pastWatches ||= command.do === 'watch' && command.back !== undefined;
        const answers = await Promise.all([ours.run(command), theirs.run(command)]);
        assert.deepEqual(answers[0], answers[1], `answer to ${command.do}`);
      };
      try {
        await both({ do: 'delete', request: EVERYTHING });
        for (const id of [1001n, 1002n, 1003n]) await both({ do: 'revoke', id });
        for (const command of sequence) await both(command);
        await Promise.all([ours.settle(), theirs.settle()]);
        for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(10)) {
          if (JSON.stringify(ours.received) === JSON.stringify(theirs.received)) break;
        }
        assert.deepEqual(ours.received, theirs.received, 'what the watches received');
        sequences++;
      } finally {
        ours.close();
        theirs.close();
      }
    }),
    { numRuns: RUNS },
  );
  assert.ok(sequences >= RUNS);
});
