import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answers, checkCase } from '../../../../test/support/check-case.ts';
import { judge } from './judge.ts';

test('an address that containers of two hosts have is the fault of the one that has not leased it', () => {
  const containers = [{ name: 'c9', addresses: ['10.5.1.2', '127.0.0.1', 'fe80::1'] }];
  const { findings } = judge(checkCase({ reports: { 2: { containers } } }));
  assert.deepEqual(
    findings.map(({ code, host }) => [code, host]),
    [['DUPLICATE_ADDRESS', 'docker2']],
  );
});

test('clocks that are far apart are a warning', () => {
  const { findings, ok } = judge(checkCase({ reports: { 3: { time: 1_790_000_700_000 } } }));
  assert.deepEqual([ok, findings.map(({ code, host }) => [code, host])], [true, [['CLOCK_SKEW', 'docker3']]]);
});

const macs = (own: string, ip: string, peers: Readonly<Record<string, string>>) => ({
  underlayMacs: {
    own: [{ ip, mac: own }],
    peers: Object.entries(peers).map(([peer, mac]) => ({ ip: peer, mac })),
  },
});
const [A, B, C, CLONE] = ['a2:00:00:00:00:01', 'a2:00:00:00:00:02', 'a2:00:00:00:00:03', '02:00:00:00:66:08'];
const silent: Answers = ({ kind, peer }) => (kind !== undefined && peer === 'docker2' ? 0 : undefined);

test('a machine that answers for the address of a host is named, by the MAC address that the host does not have', () => {
  const reports = {
    1: macs(A, '192.168.65.1', { '192.168.65.2': CLONE, '192.168.65.3': C }),
    2: macs(B, '192.168.65.2', { '192.168.65.1': A, '192.168.65.3': C }),
  };
  const { findings } = judge(checkCase({ reports, answers: silent }));
  assert.deepEqual([findings[0]?.code, findings[0]?.host], ['DUPLICATE_UNDERLAY_ADDRESS', 'docker2']);
  assert.match(findings[0]?.remedy ?? '', /02:00:00:00:66:08/);
  // Nothing is lost: a proxy, as in the networks of some clouds.
  assert.deepEqual(judge(checkCase({ reports })).findings, []);
});

test('one MAC address for all peers is that of the network, whatever is lost', () => {
  const reports = {
    1: macs(A, '192.168.65.1', { '192.168.65.2': CLONE, '192.168.65.3': CLONE }),
    2: macs(B, '192.168.65.2', { '192.168.65.1': CLONE, '192.168.65.3': CLONE }),
  };
  const { findings } = judge(checkCase({ reports, answers: silent }));
  assert.ok(
    findings.every(({ code }) => !code.startsWith('DUPLICATE_UNDERLAY')),
    JSON.stringify(findings),
  );
});

test('two hosts with one MAC address are named, also where one of them cannot be asked', () => {
  const both = { reports: { 1: macs(A, '192.168.65.1', {}), 2: macs(A, '192.168.65.2', {}) } };
  const one = {
    reports: { 1: macs(A, '192.168.65.1', { '192.168.65.2': A, '192.168.65.3': C }) },
    unasked: { docker2: 'no way there' },
  };
  for (const changes of [both, one]) {
    const { findings } = judge(checkCase({ ...changes, answers: silent }));
    assert.equal(findings[0]?.code, 'DUPLICATE_UNDERLAY_MAC', JSON.stringify(findings));
    assert.match(findings[0]?.reason ?? '', /docker1 and docker2/);
  }
});
