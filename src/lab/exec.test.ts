import assert from 'node:assert/strict';
import { test } from 'node:test';
import { execIn, exitStatusOf } from './exec.ts';
import type { LabRecord } from './record/record.ts';

const nobody = { pid: 2 ** 22 + 1, started: 0 };
const record: LabRecord = {
  version: 3,
  name: 'x',
  createdAt: '2026-01-02T03:04:05.000Z',
  topology: { hosts: { docker1: {} } },
  anchor: nobody,
  keeper: nobody,
  etcdEndpoint: 'http://192.168.65.3:2379',
  etcdPrefix: '/coreos.com/network',
  hosts: [
    {
      name: 'docker1',
      address: { ipv4: '192.168.65.3' },
      links: [{ name: 'eth0', segment: 'underlay', addresses: ['192.168.65.3'] }],
      anchor: nobody,
      runtime: 'namespace',
      subnet: { ipv4: '188.172.50.0/24' },
      containers: [{ name: 'c1', ip: { ipv4: '188.172.50.2' }, netns: '/run/netns/c1' }],
    },
  ],
};

test('what a lab does not have is refused with what it has', async () => {
  for (const target of ['', 'docker2', 'docker2/c1', 'docker1/c2', 'docker1/', 'docker1/c1/c1', 'c1']) {
    await assert.rejects(
      execIn(record, target, 'true', []),
      { code: 'NOT_FOUND', message: `lab x has no ${target}`, hint: 'it has docker1, docker1/c1' },
      target,
    );
  }
});

test('a program that a signal ended has the status that a shell gives it', () => {
  assert.equal(exitStatusOf({ status: 9 }), 9);
  assert.equal(exitStatusOf({ signal: 'SIGTERM' }), 143);
});
