import assert from 'node:assert/strict';
import { test } from 'node:test';
import { healthyPeer, status, T0 } from '../../test/support/status.ts';
import { clusterSummary, type HostSummary } from './all-hosts.ts';
import { allHostsScreen } from './all-hosts-screen.ts';

const HOSTS: readonly HostSummary[] = [
  {
    host: 'docker1',
    addresses: [],
    subnets: ['188.172.3.0/24'],
    state: 'ready',
    ok: true,
    peers: { ok: 3, all: 3 },
  },
  {
    host: 'docker2',
    addresses: [],
    subnets: ['188.172.9.0/24'],
    state: 'degraded',
    ok: true,
    peers: { ok: 2, all: 3 },
    worst: { code: 'MTU_REDUCED', severity: 'warning', title: 'the MTU is smaller than asked for' },
    via: 'docker3',
  },
  {
    host: 'docker3',
    addresses: [],
    subnets: [],
    state: 'unknown',
    ok: false,
    reason: {
      code: 'UNREACHABLE',
      message: 'docker3 at 192.0.2.5 port 8473 does not answer within 1500 ms',
      hint: 'look',
    },
  },
];

test('the screen has a line for each host, folded to the terminal', t => {
  const { COLUMNS } = process.env;
  t.after(() => {
    if (COLUMNS === undefined) delete process.env['COLUMNS'];
    else process.env['COLUMNS'] = COLUMNS;
  });
  process.env['COLUMNS'] = '80';
  const lines = allHostsScreen(HOSTS).split('\n');
  assert.deepEqual(
    lines.filter(line => line.length > 80),
    [],
  );
  assert.match(lines[0] ?? '', /^HOST +STATE +LEASE +PEERS +NEEDS ATTENTION$/);
  assert.match(lines[2] ?? '', /^docker2 +degraded +188\.172\.9\.0\/24 +2 of 3 +the MTU is smaller/);
  const text = lines.join(' ').replaceAll(/ +/g, ' ');
  assert.match(text, /asked through docker3/);
  assert.match(text, /docker3 no answer/);
  assert.match(text, /3 hosts, 1 with trouble hint: look$/);
});

test('a host that cannot be asked is listed with the reason, and a flannel host is no trouble', async () => {
  const peers = [
    { ...healthyPeer, key: 'a', hostName: 'old', hostId: 'b7' },
    { ...healthyPeer, key: 'b', publicIp: { ipv4: '192.0.2.9' } },
  ];
  const own = status({ peers, agent: { state: 'waiting', reason: 'no lease', since: T0, ready: false } });
  const hosts = await clusterSummary(own, new AbortController().signal);
  assert.deepEqual(
    hosts.map(({ host, state, ok, reason }) => [host, state, ok, reason?.code]),
    [
      ['docker1', 'waiting', false, undefined],
      ['192.0.2.9', 'unknown', true, 'NO_PEER_API'],
      ['old', 'unknown', false, 'NO_PEER_API'],
    ],
  );
});

test('a peer that does not answer is none that is in order', async () => {
  const silent = { ...healthyPeer, hostId: 'c1', health: { ipv4: { state: 'silent', since: T0 } } };
  const asked = { ...healthyPeer, key: 'b', hostId: 'c2', health: { ipv4: { state: 'answers', since: T0 } } };
  const own = status({ peers: [silent, asked, { ...healthyPeer, key: 'c', hostId: 'c3' }] });
  const [first] = await clusterSummary(own, new AbortController().signal);
  assert.deepEqual(first?.peers, { ok: 2, all: 3 });
});

test('errors come before warnings, and a condition that is missing says what it is', async () => {
  const warning = (severity: string, code: string) => ({
    severity,
    code,
    title: code.toLowerCase(),
    text: '',
    since: T0,
  });
  const worst = async (changes: object) =>
    (await clusterSummary(status({ peers: [], ...changes }), new AbortController().signal))[0]?.worst;
  assert.equal(
    (await worst({ warnings: [warning('info', 'A'), warning('warning', 'B'), warning('error', 'C')] }))?.code,
    'C',
  );
  const lease = {
    name: 'lease',
    ok: false,
    required: true,
    code: 'OUT_OF_SUBNETS',
    reason: 'none is free',
    since: T0,
  };
  assert.deepEqual(await worst({ conditions: [lease], warnings: [warning('warning', 'B')] }), {
    code: 'OUT_OF_SUBNETS',
    severity: 'error',
    title: 'none is free',
  });
  assert.equal(await worst({ warnings: [warning('info', 'A')] }), undefined);
});
