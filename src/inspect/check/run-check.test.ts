import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finding, report } from '../../../test/support/check-case.ts';
import { parseInspectionAnswer } from '../../api/inspection-lines.ts';
import type { FixableFinding } from '../checks/check.ts';
import { called } from './run-check.ts';

const onDocker1 = finding({ code: 'FORWARDING_OFF', host: 'docker1', layer: 'routing', fixable: true });

test('what a host says is about itself, under the name that it is known by, whomever it names', () => {
  const its = called('docker2', { ...report(2), host: 'docker1', findings: [onDocker1] });
  assert.deepEqual(
    [its.host, its.findings.map(({ code, host }) => `${code} ${host}`)],
    ['docker2', ['FORWARDING_OFF docker2']],
  );
});

test('a command that another host has for a finding does not come in', () => {
  const hostile: FixableFinding = { ...onDocker1, fix: [['touch', '/tmp/taken']] };
  const line = JSON.stringify({ report: { ...report(2), findings: [hostile] } });
  const answer = parseInspectionAnswer(line);
  assert.ok('report' in answer);
  assert.deepEqual(
    answer.report.findings.map(one => 'fix' in one),
    [false],
  );
});
