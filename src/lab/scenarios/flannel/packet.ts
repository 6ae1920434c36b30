/** The second half of the scenario `flannel`: a packet from container to container, followed over the hosts. */
import { DEFAULT_SOCKET } from '../../../api/messages.ts';
import { Ip } from '../../../base/ip.ts';
import { wrapTo } from '../../../console/fold.ts';
import { DOCKER_SOCKET } from '../../../docker/docker-api.ts';
import { HostReader } from '../../../inspect/host/host-reader.ts';
import { type WalkedHost, walkJourney } from '../../../inspect/path/journey.ts';
import { walkHost } from '../../../inspect/path/walk-host.ts';
import { Netns } from '../../../sys/netns.ts';
import { finishCapture } from '../../scenario/captured.ts';
import { answered, checkOn, showsLike } from '../../scenario/judges.ts';
import type { Found, ScenarioStep, Stage } from '../../scenario/scenario.ts';
import { HOSTS, onEach } from '../leased-hosts.ts';

/** What the kernels look up, as one can type it: host, command, what it is about, what it shows. */
const LOOKUPS = [
  ['docker1', 'docker exec c1 ip route get $IP2', 'to docker0', 'via $NET1.1 dev eth0'],
  ['docker1', 'ip route get $IP2 from $IP1 iif docker0', 'to the VTEP', 'via $NET2.0 dev flannel.88'],
  ['docker1', 'ip neighbor get $NET2.0 dev flannel.88', 'its MAC address', 'lladdr $MAC2 PERMANENT'],
  ['docker1', 'bridge fdb get $MAC2 dev flannel.88 self', 'its host', 'dst 192.168.65.4'],
  ['docker1', 'ip route get 192.168.65.4', 'over the underlay', 'dev eth0 src 192.168.65.3'],
  ['docker2', 'ip route get $IP2 from $IP1 iif flannel.88', 'to docker0', 'dev docker0'],
] as const;

export const PACKET_STEPS: readonly ScenarioStep[] = [
  {
    id: 'ping',
    title: 'Ping from container to container',
    why:
      'Each host routes the packet between docker0 and the tunnel, and so takes 1 from the TTL: 64 - 2 = 62. The tunnel ' +
      'takes nothing: it is one hop, like a cable.',
    on: 'docker1',
    commands: onEach(({ peer }) => ({ line: `docker exec c1 ping -c 2 $IP${peer}`, mayFail: true })),
    checks: HOSTS.flatMap(({ host, peer }) => {
      const line = `docker exec c1 ping -c 1 -W 5 $IP${peer}`;
      return [
        checkOn(host, line, 'the other container answers', answered),
        checkOn(host, line, 'with TTL 62', showsLike('ttl=62 ')),
      ];
    }),
  },
  {
    id: 'capture',
    title: 'See the packet between the hosts',
    why:
      'The whole frame is in a UDP packet from host to host. Outside are the addresses of the hosts; inside are the IP ' +
      'addresses of the containers, but the MAC addresses of the VTEPs: the hosts are routers, and a router makes a new ' +
      'frame.',
    on: 'docker2',
    commands: [
      {
        line: "tulle capture eth0 -n -v --count 2 --filter 'vni 88 and inner icmp and inner host $IP2'",
        background: 'capture',
        ready: /capturing on/,
      },
      { line: 'docker exec c1 ping -c 1 $IP2', on: 'docker1', quiet: true },
    ],
    act: stage => finishCapture(stage, 'capture'),
    equivalent: ["tcpdump -n -v -i eth0 'udp port 4789'"],
    checks: [
      {
        expected: 'outside: from host to host',
        judge: showsLike('192.168.65.3 > 192.168.65.4, ttl 64, protocol 17'),
      },
      { expected: 'UDP to port 4789', judge: showsLike('udp +\\d+ > 4789') },
      { expected: 'VXLAN with VNI 88', judge: showsLike('vxlan +vni 88') },
      { expected: 'inside: from VTEP to VTEP', judge: showsLike('$MAC1 > $MAC2') },
      { expected: 'from container to container', judge: showsLike('$IP1 > $IP2, ttl 63, protocol 1') },
      { expected: 'and back', judge: showsLike('$IP2 > $IP1, ttl 63, protocol 1') },
    ],
  },
  {
    id: 'journey',
    title: 'The journey of that packet, hop by hop',
    why: 'Each entry is looked up as the kernel does: what one hop finds is what the next one searches for.',
    on: 'docker1',
    act: journey,
    equivalent: LOOKUPS.map(([on, line]) => (on === 'docker1' ? line : `${line}    (on ${on})`)),
    checks: [
      ...LOOKUPS.map(([on, line, expected, pattern]) => checkOn(on, line, expected, showsLike(pattern))),
      { expected: 'it ends in the container', judge: showsLike('^\\d+ docker2/c1') },
    ],
  },
  {
    id: 'frozen',
    title: 'Is etcd on the way? Freeze it, and the agents',
    why:
      'All entries are in the kernel, so packets need neither etcd nor the agents. These are needed when a host comes, ' +
      'goes or moves.',
    on: 'docker1',
    commands: [
      ...onEach(() => ({ line: "pkill -STOP -f 'agent --etcd-endpoints'" })),
      'pkill -STOP -x etcd',
      { line: 'docker exec c1 ping -c 2 $IP2', mayFail: true },
      'pkill -CONT -x etcd',
      ...onEach(() => ({ line: "pkill -CONT -f 'agent --etcd-endpoints'" })),
    ],
    checks: [{ expected: 'the containers still reach each other', judge: answered }],
  },
];

/** Columns, beside the indentation of a step. */
const WIDTH = 77;

/** Both hosts are read from outside: they have no certificates by which one could ask the other. */
async function journey(stage: Stage): Promise<Found> {
  await using readers = new AsyncDisposableStack();
  const [near, far] = HOSTS.map(({ host }): WalkedHost => {
    const outside = stage.host(host);
    using netns = Netns.open(outside.netnsFile);
    const options = { socketPath: outside.path(DEFAULT_SOCKET), dockerSocket: outside.path(DOCKER_SOCKET) };
    const reader = readers.use(HostReader.open({ netns, ...options }));
    return { host, walk: walk => walkHost(reader, walk) };
  }) as [WalkedHost, WalkedHost];
  const [from, to] = HOSTS.map(({ number }) => Ip.parse(stage.known[`IP${number}`] ?? '')) as [Ip, Ip];
  const { legs } = await walkJourney({ from, to, protocol: 'icmp', near, far }, stage.signal);
  const hops = legs.flatMap(leg => (leg.packet === 'request' ? leg.hops : []));
  const lines = hops.flatMap(({ host, place, story, entries, fault }, index) => [
    wrapTo(`${index + 1} ${place === host ? host : `${host}/${place}`}: ${story}`, 2, WIDTH),
    ...entries.map(entry => wrapTo(`  ${entry}`, 4, WIDTH)),
    ...(fault === undefined ? [] : [wrapTo(`  ${fault.reason}`, 4, WIDTH)]),
  ]);
  return { text: lines.join('\n'), data: hops };
}
