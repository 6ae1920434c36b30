/** Which of the findings of hosts is the cause, where several could be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  causes,
  checkCase,
  finding,
  insideDocker2,
  LEAVES,
  overlayOfDocker2,
  seen,
  watchedInside,
  watchedRung,
  withWatched,
} from '../../../../test/support/check-case.ts';
import { judge } from './judge.ts';

const tcOfDocker2 = finding({
  code: 'TC_DROP',
  host: 'docker2',
  layer: 'limits',
  severity: 'warning',
  reason: 'filters of tc see the packets that come in by flannel.1, and may drop or redirect them',
});
const untilTunnel = ['uplink in request', 'tunnel in request'];

test('filters of the link where packets were seen last explain them, whatever the kernel drops them for', () => {
  const known = checkCase({ answers: overlayOfDocker2, reports: { 2: { findings: [tcOfDocker2] } } });
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, LEAVES),
    there: seen(2, untilTunnel, {
      drops: [{ reason: 'OTHERHOST', link: 'lo', packet: 'request', count: 4 }],
    }),
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['TC_DROP docker2']);
});

test('where a rule was seen to drop, a queue is no cause', () => {
  const known = checkCase({ answers: insideDocker2, reports: { 2: { findings: [tcOfDocker2] } } });
  const watched = watchedInside(known, untilTunnel, {
    verdicts: [{ packet: 'request', end: 'dropped', chain: 'ip brk c', rule: 'ct state untracked drop' }],
  });
  const { findings } = judge(withWatched(known, watched));
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [
      ['FIREWALL_DROP', 'error'],
      ['TC_DROP', 'warning'],
    ],
  );
});

test('a policy of IPsec is named by what the kernel says', () => {
  const known = checkCase({ answers: insideDocker2 });
  const watched = watchedInside(known, untilTunnel, {
    drops: [{ reason: 'XFRM_POLICY', packet: 'request', count: 4 }],
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['IPSEC_POLICY docker2']);
});

test('a tunnel that gets no route by a policy of IPsec', () => {
  const policy = finding({ code: 'IPSEC_POLICY', host: 'docker1', layer: 'firewall' });
  const filter = finding({ code: 'FIREWALL_DROP', host: 'docker1', layer: 'firewall' });
  const known = checkCase({ answers: overlayOfDocker2, reports: { 1: { findings: [filter, policy] } } });
  const watched = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, ['tunnel out request'], {
      drops: [{ reason: 'IP_OUTNOROUTES', link: 'flannel.1', packet: 'request', count: 4 }],
    }),
    there: seen(2, []),
  });
  const [first] = causes(withWatched(known, watched));
  assert.equal(first, 'IPSEC_POLICY docker1');
});

test('what is lost between containers of one host is not said to be lost on the underlay', () => {
  const known = checkCase();
  const [rung] = known.own;
  assert.ok(rung);
  const { findings } = judge({ ...known, own: [{ ...rung, kind: 'container', answered: 0 }] });
  assert.deepEqual(
    findings.map(({ code, layer }) => [code, layer]),
    [['PACKET_LOST', 'bridge']],
  );
});

test('a rule on a third host, which speaks of both, is no cause of what is lost between them', () => {
  const third = finding({
    code: 'FIREWALL_DROP',
    host: 'docker3',
    layer: 'firewall',
    reason: 'a rule drops packets of docker2, docker1 for containers of docker1',
  });
  const hole = finding({ code: 'ROUTE_BLACKHOLE', host: 'docker1', layer: 'routing' });
  const known = checkCase({
    answers: insideDocker2,
    reports: { 1: { findings: [hole] }, 3: { findings: [third] } },
  });
  const [first, second] = judge(known).findings;
  assert.deepEqual([first?.code, second?.code, second?.evidence], ['ROUTE_BLACKHOLE', 'FIREWALL_DROP', []]);
  const alone = judge(checkCase({ answers: insideDocker2, reports: { 3: { findings: [third] } } })).findings;
  assert.deepEqual(
    alone.map(({ code, host }) => `${code} ${host}`),
    ['PACKET_LOST docker2', 'FIREWALL_DROP docker3'],
  );
});

test('a frame for another MAC address is wrong on the host that sent it', () => {
  const known = checkCase({ answers: overlayOfDocker2 });
  const answered = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, [...LEAVES, 'uplink in reply', 'tunnel in reply'], {
      drops: [{ reason: 'OTHERHOST', link: 'flannel.1', packet: 'reply', count: 4 }],
    }),
  });
  assert.deepEqual(causes(withWatched(known, answered)), ['TUNNEL_NEIGHBOR docker2']);
  const asked = watchedRung(known, ({ kind }) => kind === 'tunnel', {
    here: seen(1, LEAVES),
    there: seen(2, untilTunnel, {
      drops: [{ reason: 'OTHERHOST', link: 'flannel.1', packet: 'request', count: 4 }],
    }),
  });
  assert.deepEqual(causes(withWatched(known, asked)), ['TUNNEL_NEIGHBOR docker1']);
});

test('a file of the agent that is wrong loses no packet', () => {
  const file = finding({
    code: 'SUBNET_FILE_DIFFERS',
    host: 'docker2',
    layer: 'docker',
    severity: 'warning',
  });
  const known = checkCase({ answers: insideDocker2, reports: { 2: { findings: [file] } } });
  const { findings } = judge(withWatched(known, watchedInside(known, untilTunnel)));
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [
      ['PACKET_LOST', 'error'],
      ['SUBNET_FILE_DIFFERS', 'warning'],
    ],
  );
});

test('a strict source filter is why a host does not answer ARP', () => {
  const filter = finding({
    code: 'STRICT_RP_FILTER',
    host: 'docker2',
    layer: 'underlay',
    severity: 'error',
    reason:
      'the strict source filter of eth0 discards packets of docker1 for docker2: answers to them leave by uplink2',
  });
  const silent = [
    { address: '192.168.65.4', askedBy: '192.168.65.3', link: 'eth0', point: 'uplink', count: 4 } as const,
  ];
  const known = checkCase({
    answers: ({ peer }) => (peer === 'docker2' ? 0 : undefined),
    reports: { 2: { findings: [filter] } },
  });
  const watched = watchedRung(known, ({ kind }) => kind === 'underlay', {
    here: seen(1, [], { silent, drops: [{ reason: 'NEIGH_FAILED', packet: 'request', count: 4 }] }),
  });
  assert.deepEqual(causes(withWatched(known, watched)), ['STRICT_RP_FILTER docker2']);
});
