import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { type Repair, repairOf } from '../report.ts';
import { RepairLog } from './repair-log.ts';

test('of many repairs of one kind a few are reported, with the number of the others, and all are counted', () => {
  const reported: Repair[] = [];
  const repairLog = new RepairLog({
    clock: new ManualClock(),
    logger: silentLogger,
    onRepair: repair => reported.push(repair),
  });
  for (let number = 1; number <= 25; number++) {
    repairLog.repaired(
      repairOf({ cause: 'drift', object: 'route', link: 'f', found: undefined, wanted: `${number}` }),
    );
  }
  repairLog.repaired(
    repairOf({ cause: 'drift', object: 'link', link: 'f', found: 'down', wanted: undefined }),
  );
  repairLog.endRound(undefined, 0, false);
  assert.deepEqual(
    reported.map(({ object, wanted, others }) => [object, wanted, others]),
    [
      ...Array.from({ length: 9 }, (_, index) => ['route', `${index + 1}`, undefined]),
      ['route', '10', 15],
      ['link', undefined, undefined],
    ],
  );
  assert.deepEqual(repairLog.driftRepairs, { route: 25, link: 1 });
});
