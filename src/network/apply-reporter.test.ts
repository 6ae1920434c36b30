import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApplyReporter } from './apply-reporter.ts';
import type { EventReporter, HealthReporter } from './reports.ts';

/** What is reported: conditions as `name` or `name: reason`, warnings as their codes. */
function record({ texts = false } = {}) {
  const said: string[] = [];
  const health: HealthReporter = {
    report: (name, failure) => void said.push(failure === undefined ? name : `${name}: ${failure.reason}`),
    warn: (_, warnings) => void said.push(...warnings.map(({ code }) => code)),
  };
  const events: EventReporter = {
    add: (severity, type, text) => void said.push(texts ? `${severity} ${type}: ${text}` : type),
  };
  return { report: new ApplyReporter(health, events), take: () => said.splice(0) };
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

test('repairs: what others had changed is a warning, what an earlier run had left is not', () => {
  const { report, take } = record({ texts: true });
  const route = { object: 'route', action: 'restored', link: 'flannel.88', wanted: '10.3.7.0/24' } as const;
  report.repair({ ...route, cause: 'drift' });
  report.repair({ ...route, cause: 'drift', action: 'replaced', found: '10.3.7.0/24 dev lo', others: 3 });
  report.repair({ cause: 'start', object: 'fdb', action: 'removed', link: 'flannel.88', found: 'an entry' });
  report.firewallRepaired(['a jump is missing', 'a rule is missing', 'a rule is missing']);
  assert.deepEqual(take(), [
    'warning drift-repaired: restored: 10.3.7.0/24',
    'warning drift-repaired: replaced: 10.3.7.0/24, found: 10.3.7.0/24 dev lo, and 3 more',
    'info state-repaired: removed: an entry',
    'warning drift-repaired: repaired: firewall, a jump is missing',
    'warning drift-repaired: repaired: firewall, a rule is missing (2 times)',
  ]);
  assert.equal(report.firewallRepairs, 3);
});

test('a subnet file with other values says which, and that Docker has not read them', () => {
  const { report, take } = record({ texts: true });
  report.subnetFileReplaced('/run/subnet.env', 'A=1\nB=2\n', 'A=1\nB=3\n');
  assert.deepEqual(take(), [
    'warning subnet-file-changed: /run/subnet.env has changed: B=3; restart Docker to use it',
  ]);
});

test('the data plane: a device that is not there is its condition, entries that failed a warning', () => {
  const { report, take } = record();
  const fine = { inSync: true, failures: [] };
  const bad = { inSync: false, failures: ['a route: no route to host'] };
  const link = { name: 'flannel.88', kind: 'vxlan', inSync: true } as const;
  const now = { name: 'overlay', wanted: 9, failed: 0, links: [link] };
  const broken = { ...link, inSync: false };
  const repair = {
    cause: 'drift',
    object: 'route',
    action: 'removed',
    link: 'flannel.88',
    found: 'x',
  } as const;
  for (const [result, state, said, conflict] of [
    [fine, now, ['dataplane']],
    [bad, { ...now, failed: 1 }, ['dataplane', 'ENTRIES_FAILED']],
    [bad, now, ['dataplane']],
    [bad, { ...now, failed: 1, links: [broken] }, ['dataplane: flannel.88: is not ready']],
    [bad, { ...now, links: [link, { ...broken, reason: 'busy' }] }, ['dataplane: flannel.88: busy']],
    [fine, now, ['dataplane', 'CONFLICTING_WRITER'], { since: 0, repairs: 9, latest: repair }],
  ] as const) {
    report.dataPlane({ ...result, ...state }, conflict);
    assert.deepEqual(take(), said);
  }
  report.kernelUnreachable('timed out');
  assert.deepEqual(take(), ['dataplane: the kernel does not answer: timed out']);
});
