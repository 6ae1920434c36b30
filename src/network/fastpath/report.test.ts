import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerStatus } from '../../api/status.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { FlowCounts, type KnownFlow } from './flow-counts.ts';
import { OBSTACLES } from './obstacle.ts';
import type { CarriedNetwork } from './plan.ts';
import { type FastPathFacts, reportFastPath } from './report.ts';

const OVERLAY: CarriedNetwork = {
  name: 'overlay',
  uplink: { index: 2 },
  addresses: [],
  tunnels: [{ link: 'flannel.88', port: 8472, vni: 88 }],
  block: Prefix.parse('10.5.34.0/24'),
};
const BLUE: CarriedNetwork = {
  name: 'blue',
  addresses: [],
  tunnels: [{ link: 'tv-blue', port: 4789, vni: 200 }],
};

const flow = (remote: string, vni = 88, isFast = true): KnownFlow => ({
  remote: Ip.parse(remote),
  vni,
  isFast,
  sentPackets: 10,
  sentBytes: 1000,
  receivedPackets: 5,
  receivedBytes: 500,
});

const peer = (third: number, links: string[] = ['flannel.88']): PeerStatus => ({
  key: `10.5.${third}.0-24`,
  subnet: { ipv4: `10.5.${third}.0/24` },
  publicIp: {},
  links,
  state: 'ok',
  desired: [],
  actual: [],
});

const facts = (changes: Partial<FastPathFacts> = {}): FastPathFacts => ({
  networks: [OVERLAY, BLUE],
  decided: [
    { name: 'overlay', links: ['veth-a'], without: [] },
    { name: 'blue', links: [], without: [], obstacle: OBSTACLES.noContainers },
  ],
  flows: new FlowCounts(),
  normal: new Map(),
  obstacle: undefined,
  failure: undefined,
  tcpObstacle: undefined,
  ...changes,
});

test('flows are counted for their network and their peer, those that are fast now and what all of them carried', async () => {
  const known = [flow('10.5.7.2'), flow('10.5.7.3', 88, false), flow('10.5.8.9'), flow('172.20.0.3', 200)];
  const flows = await FlowCounts.count(known);
  const { status, peers } = reportFastPath(facts({ flows }), [peer(7), peer(8), peer(9)], undefined);
  assert.deepEqual(
    status.networks.map(({ name, flows: now, sentPackets }) => [name, now, sentPackets]),
    [
      ['overlay', 2, 30],
      ['blue', 1, 10],
    ],
  );
  assert.deepEqual(
    peers.map(({ fastPath }) => [fastPath?.flows, fastPath?.receivedBytes]),
    [
      [1, 1000],
      [1, 500],
      [undefined, undefined],
    ],
  );
});

test('a flow of an L2 network is none of a peer whose subnet has its address', async () => {
  const { peers } = reportFastPath(
    facts({ flows: await FlowCounts.count([flow('10.5.7.2', 200)]) }),
    [peer(7)],
    undefined,
  );
  assert.equal(peers[0]?.fastPath, undefined);
});

test('a peer that is reached without the tunnel says so', () => {
  const { peers } = reportFastPath(
    facts(),
    [peer(7, ['eth0']), peer(8, ['flannel0']), peer(9, [])],
    'flannel0',
  );
  assert.deepEqual(
    peers.map(({ fastPath }) => fastPath?.obstacle),
    [OBSTACLES.direct, OBSTACLES.forwarder, undefined],
  );
});

test('it is used where one network uses it', () => {
  const { status } = reportFastPath(facts(), [], undefined);
  assert.deepEqual([status.used, status.obstacle], [true, undefined]);
});

test('an obstacle of the host is that of its networks, and of no peer alone', () => {
  const { status, peers } = reportFastPath(
    facts({ obstacle: OBSTACLES.offByFlag, decided: [], tcpObstacle: 'none' }),
    [peer(7)],
    undefined,
  );
  assert.deepEqual(
    [status.used, status.obstacle, status.tcpObstacle],
    [false, OBSTACLES.offByFlag, undefined],
  );
  assert.deepEqual(status.networks[1]?.obstacle, OBSTACLES.offByFlag);
  assert.equal(peers[0]?.fastPath, undefined);
});

test('before anything is decided, what the network itself says is the reason', () => {
  const waiting = { name: 'overlay', tunnels: [], addresses: [], obstacle: OBSTACLES.waiting };
  const { status } = reportFastPath(facts({ networks: [waiting], decided: [] }), [], undefined);
  assert.deepEqual(status.obstacle, OBSTACLES.waiting);
});

test('what could not be attached is said, and the rest goes on', () => {
  const { status } = reportFastPath(facts({ failure: 'eth0: EPERM' }), [], undefined);
  assert.deepEqual([status.used, status.obstacle], [true, { code: 'FAILED', text: 'eth0: EPERM' }]);
  assert.equal(status.networks[0]?.obstacle, undefined);
});

test('tens of thousands of flows are counted in turns with everything else', async () => {
  let [turns, isDone] = [0, false];
  const turn = () => {
    turns++;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  const counts = await FlowCounts.count(Array.from({ length: 10_000 }, () => flow('10.5.7.2')));
  isDone = true;
  assert.equal(counts.of([88]).flows, 10_000);
  assert.ok(turns > 5, `${turns} turns`);
});
