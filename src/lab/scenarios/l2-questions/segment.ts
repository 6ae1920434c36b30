/** Question (b): what would make arping work? One Ethernet over both hosts: bridged, and flooded. */
import { lacks, sees } from '../../scenario/judges.ts';
import type { Check, CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';

const HOSTS = ['docker1', 'docker2'] as const;
type HostName = (typeof HOSTS)[number];

const UNDERLAY = { docker1: '192.168.65.3', docker2: '192.168.65.4' } as const;
const BLUE = { docker1: '10.9.0.1', docker2: '10.9.0.2' } as const;
const peerOf = (host: HostName): HostName => (host === 'docker1' ? 'docker2' : 'docker1');

const ASK: CommandSpec = {
  line: `ip netns exec blue busybox arping -c 1 -w 2 -I eth0 ${BLUE.docker2}`,
  mayFail: true,
};

/** What vx-blue itself knows: MAC address -> host. */
const FDB = 'bridge fdb show dev vx-blue';
/** Whatever sends something is learned, also a bridge that speaks IPv6: one is enough to see. */
const GET: CommandSpec = { line: 'bridge fdb get $BLUE2 dev vx-blue self' };
const unknownOnly = (output: string) => (output.match(/^00:00:00:00:00:00 .*$/gm) ?? []).join('\n');

const onEach = (lines: (host: HostName) => readonly string[]): CommandSpec[] =>
  HOSTS.flatMap(on => lines(on).map(line => ({ line, on })));

const isLearned: Check = {
  expected: 'docker1 has learned which host has this MAC address',
  command: GET,
  judge: sees(/^[\da-f:]{17} .*dst 192\.168\.65\.4 self/m),
};

export const SEGMENT_STEPS: readonly ScenarioStep[] = [
  {
    id: 'bridged',
    title: '(b) Bridge a vxlan link instead of routing to it',
    why:
      'Now the vxlan link is a port of the bridge, like a cable to a second switch, and the namespaces `blue` (they stand ' +
      'for containers) have addresses of one subnet. The VNI is 900, so this is a network beside that of flannel, over ' +
      'the same UDP port. The MTU is 1450 in the namespaces too: VXLAN adds 50 bytes.',
    on: 'docker1',
    commands: onEach(host => [
      'ip link add br-blue type bridge',
      'ip link set br-blue up',
      `ip link add vx-blue type vxlan id 900 local ${UNDERLAY[host]} dstport 4789`,
      'ip link set vx-blue mtu 1450 master br-blue up',
      'ip netns add blue',
      'ip link add veth-blue mtu 1450 type veth peer name eth0 netns blue mtu 1450',
      'ip link set veth-blue master br-blue up',
      'ip -n blue link set eth0 up',
      `ip -n blue address add ${BLUE[host]}/24 dev eth0`,
    ]),
    checks: HOSTS.map(on => ({
      expected: `br-blue of ${on} has two ports`,
      command: { line: 'ip -brief link show master br-blue', on },
      judge: sees(/^(?=[^]*vx-blue)[^]*veth-blue/),
    })),
  },
  {
    id: 'no-peer',
    title: 'Ask by ARP: the link knows no other host',
    why: 'The bridge floods the request to vx-blue. But vx-blue has no FDB entry yet, so the frame goes nowhere.',
    on: 'docker1',
    commands: [ASK],
    checks: [{ expected: 'no answer', judge: sees(/Received 0 response/) }],
  },
  {
    id: 'replication',
    title: 'Flood by head-end replication',
    why:
      'The FDB entry with the MAC address 00:00:00:00:00:00 says where frames go that are for all or for an unknown address. ' +
      'There may be many of them, one per host: the sender makes a copy for each. From what comes in, vx-blue learns ' +
      'which host has which MAC address, so that the next frame goes to that host alone.',
    on: 'docker1',
    commands: [
      ...onEach(host => [`bridge fdb append 00:00:00:00:00:00 dev vx-blue dst ${UNDERLAY[peerOf(host)]}`]),
      ASK,
      { line: 'ip -n blue -brief link show dev eth0', on: 'docker2', remember: { BLUE2: /([\da-f:]{17})/ } },
      GET,
      { line: FDB, show: unknownOnly },
    ],
    checks: [{ expected: 'arping is answered', judge: sees(/Received [1-9]\d* response/) }, isLearned],
    key: true,
  },
  {
    id: 'multicast',
    title: 'Flood by a multicast group',
    why:
      'With `group` the underlay makes the copies: every host joins 239.9.9.9, and one frame to the group reaches them all. ' +
      'No host has a list of the others. But the underlay has to carry multicast, which most cloud networks do not.',
    on: 'docker1',
    commands: [
      ...onEach(() => [
        'ip link delete vx-blue',
        'ip link add vx-blue type vxlan id 900 group 239.9.9.9 dev eth0 dstport 4789',
        'ip link set vx-blue mtu 1450 master br-blue up',
      ]),
      ASK,
      GET,
      { line: FDB, show: unknownOnly },
    ],
    checks: [
      { expected: 'arping is answered', judge: sees(/Received [1-9]\d* response/) },
      isLearned,
      {
        expected: 'unknown addresses go to the group, and to no single host',
        command: FDB,
        judge: sees(/^00:00:00:00:00:00 dst 239\.9\.9\.9/m),
      },
      {
        expected: 'docker2 is in no list',
        command: FDB,
        judge: lacks(/^00:00:00:00:00:00 dst 192/m, 'not there'),
      },
    ],
  },
];
