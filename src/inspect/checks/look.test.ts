import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { InspectionReport } from '../../api/inspection.ts';
import { Netns } from '../../sys/netns.ts';
import { HostReader } from '../host/host-reader.ts';
import { type Cause, HERE } from './check.ts';
import { lookAt } from './look.ts';

const cause: Omit<Cause, 'severity'> = { code: 'X', layer: 'bridge', reason: 'r', evidence: [], remedy: 'r' };

test('a check that fails takes nothing from the others, and is said', async () => {
  using netns = Netns.current();
  await using host = HostReader.open({ netns, socketPath: '/nonexistent/agent.sock' });
  const report = await lookAt(host, undefined, [
    { name: 'good', check: async () => [{ ...cause, severity: 'info' }] },
    { name: 'bad', check: () => Promise.reject(new Error('no such table')) },
    { name: 'better', check: async () => [{ ...cause, severity: 'error', fix: [['true']] }] },
  ]);
  assert.deepEqual(report.blind, ['bad: no such table']);
  assert.deepEqual(
    report.findings.map(({ severity, fixable, host: name }) => [severity, fixable, name]),
    [
      ['error', true, report.host],
      ['info', false, report.host],
    ],
  );
  const {
    findings: [first],
  } = v.parse(InspectionReport, JSON.parse(JSON.stringify(report)));
  assert.equal(first && 'fix' in first, false, 'what is run does not leave the host');
});

test('what is wrong is said of the host by its name, because another one may print it', async () => {
  using netns = Netns.current();
  await using host = HostReader.open({ netns, socketPath: '/nonexistent/agent.sock' });
  const rule = 'comment "this host drops what containers here send" drop';
  const reason = `${HERE} drops packets of containers of ${HERE} for those of docker3: ${rule}`;
  const check = async (): Promise<Cause[]> => [
    { ...cause, severity: 'error', reason, evidence: [HERE, rule] },
  ];
  const report = await lookAt(host, undefined, [{ name: 'one', check }]);
  const { host: name } = report;
  assert.deepEqual(
    report.findings.map(each => [each.reason, each.evidence]),
    [[`${name} drops packets of containers of ${name} for those of docker3: ${rule}`, [name, rule]]],
  );
});
