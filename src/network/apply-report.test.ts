import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApplyReport } from './apply-report.ts';
import type { EventReporter, HealthReporter } from './reports.ts';

/** What is reported: conditions as `name` or `name: reason`, warnings as their codes. */
function record() {
  const said: string[] = [];
  const health: HealthReporter = {
    report: (name, trouble) => void said.push(trouble === undefined ? name : `${name}: ${trouble.reason}`),
    warn: (_, warnings) => void said.push(...warnings.map(({ code }) => code)),
  };
  const events: EventReporter = { add: (_severity, type) => void said.push(type) };
  return { report: new ApplyReport(health, events), take: () => said.splice(0) };
}

test('the subnet file: nothing before it was tried, then how that went', () => {
  const { report, take } = record();
  const path = '/run/subnet.env';
  for (const [state, said] of [
    [{ ok: false }, []],
    [{ ok: true }, ['subnet-file']],
    [
      { ok: false, lastError: 'no space left' },
      ['subnet-file: /run/subnet.env could not be written: no space left'],
    ],
    [
      { ok: false, owner: '10.9.0.0/16', lastError: 'no space left' },
      ['subnet-file: /run/subnet.env belongs to another network, 10.9.0.0/16'],
    ],
  ] as const) {
    report.subnetFile(path, state);
    assert.deepEqual(take(), said);
  }
});

test('the firewall: its condition, what is in its way, and who keeps changing it', () => {
  const { report, take } = record();
  const fine = { ok: true, obstacles: [], dependsOnPeers: false };
  const obstacle = { id: 'a', text: 'a drop', hint: 'remove it' };
  for (const [state, said] of [
    [fine, ['firewall']],
    [{ ...fine, ok: false }, ['firewall: the rules are not in place']],
    [{ ...fine, ok: false, lastError: 'nft: busy' }, ['firewall: nft: busy']],
    [{ ...fine, obstacles: [obstacle] }, ['firewall', 'FIREWALL_OBSTACLE']],
    [{ ...fine, conflict: { repairs: 9, latest: 'a jump is missing' } }, ['firewall', 'CONFLICTING_WRITER']],
  ] as const) {
    report.firewall(state);
    assert.deepEqual(take(), said);
  }
});
