/**
 * The same random commands to our store and to real etcd: every answer, every refusal and every watch event must
 * be the same. 100 sequences in `npm test`, always the same; 10,000 others each time in `npm run test:oracle`
 * (TULLE_ORACLE_RUNS).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../src/testing/properties.ts';
import { needsEtcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';
import { type Command, commands } from './commands.ts';
import { startPair } from './pair.ts';
import { Session } from './session.ts';

const { TULLE_ORACLE_RUNS } = process.env;
const RUNS = Number(TULLE_ORACLE_RUNS ?? 100);
const SEED = TULLE_ORACLE_RUNS === undefined ? { seed: 20_261 } : {};
/** A sequence that differs is shrunk, and each smaller one waits as long. */
const PATIENCE_MS = 15_000;
/** On an empty store: the first one may be at 0, and a second one there may not. */
const FIRST_COMPACTION: Command[] = [
  { do: 'compact', back: 1 },
  { do: 'compact', back: 1 },
];
const EVERYTHING = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

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
        if (command.do === 'compact' && pastWatches) await replayed(pair.etcd.url);
        pastWatches ||= command.do === 'watch' && command.back !== undefined;
        const answers = await Promise.all([ours.run(command), theirs.run(command)]);
        assert.deepEqual(answers[0], answers[1], `answer to ${command.do}`);
      };
      try {
        await both({ do: 'delete', request: EVERYTHING });
        for (const id of [1001n, 1002n, 1003n]) await both({ do: 'revoke', id });
        for (const command of sequence) await both(command);
        await Promise.all([ours.settle(), theirs.settle()]);
        const same = async () => {
          assert.deepEqual(ours.received, theirs.received);
          return true;
        };
        await eventually('the watches receive the same', same, PATIENCE_MS);
        sequences++;
      } finally {
        ours.close();
        theirs.close();
      }
    }),
    { ...SEED, numRuns: RUNS, examples: [[FIRST_COMPACTION]] },
  );
  assert.ok(sequences >= RUNS);
});

/** Waits until etcd has served all watches of the past, which it does every 100 ms: until then it counts them as slow. */
async function replayed(url: string): Promise<void> {
  await eventually('etcd has served watches of the past', async () => {
    const page = await (await fetch(`${url}/metrics`)).text();
    return /^etcd_debugging_mvcc_slow_watcher_total 0$/m.test(page);
  });
}
