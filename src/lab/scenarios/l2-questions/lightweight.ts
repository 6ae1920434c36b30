/** Question (c): why carry VTEP MAC addresses, instead of a table subnet -> host? */
import { answered, lacks, sees, unanswered } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';

const PING: CommandSpec = { line: 'ip netns exec red ping -c 1 -W 2 10.8.2.2', mayFail: true };
const NEIGHBORS = 'ip neighbor show dev vxe';

/** A host with a namespace `red` in a subnet of its own, and a route to the other's subnet that names the host. */
const red = (on: string, own: number, other: number, peer: string): CommandSpec[] =>
  [
    'ip link add vxe type vxlan external dstport 8472',
    'ip link set vxe mtu 1450 up',
    'ip netns add red',
    'ip link add veth-red mtu 1450 type veth peer name eth0 netns red mtu 1450',
    'ip link set veth-red up',
    `ip address add 10.8.${own}.1/24 dev veth-red`,
    'ip -n red link set eth0 up',
    `ip -n red address add 10.8.${own}.2/24 dev eth0`,
    `ip -n red route add default via 10.8.${own}.1`,
    `ip route add 10.8.${other}.0/24 encap ip id 88 dst ${peer} dev vxe`,
  ].map(line => ({ line, on }));

export const LIGHTWEIGHT_STEPS: readonly ScenarioStep[] = [
  {
    id: 'lightweight',
    title: '(c) Name the host in the route',
    why:
      'A lightweight tunnel does what readers propose: the route itself says "subnet -> host". The link is `external`: it ' +
      'has no VNI and no peers of its own, every packet brings them from its route. One route per peer, no FDB entry. ' +
      'The namespaces `red` stand for containers in two subnets, as with flannel.',
    on: 'docker1',
    commands: [
      ...red('docker1', 1, 2, '192.168.65.4'),
      ...red('docker2', 2, 1, '192.168.65.3'),
      { line: 'ip route show dev vxe' },
      { line: 'bridge fdb show dev vxe' },
    ],
    checks: [
      {
        expected: 'the route names the host',
        command: 'ip route show dev vxe',
        judge: sees(/^10\.8\.2\.0\/24 +encap ip id 88 .*dst 192\.168\.65\.4/m),
      },
      { expected: 'no FDB entry', command: 'bridge fdb show dev vxe', judge: lacks(/dst/, 'none') },
    ],
  },
  {
    id: 'no-mac',
    title: 'The host is known, and the ping does not work',
    why:
      'VXLAN carries Ethernet frames, and a frame needs a destination MAC address that the receiver takes for its own. ' +
      'docker1 asks by ARP, through the tunnel, who has 10.8.2.2. On docker2 that address is behind a router, not on vxe, ' +
      'and nobody answers.',
    on: 'docker1',
    commands: [PING, NEIGHBORS],
    checks: [
      { expected: 'no answer', judge: unanswered },
      { expected: 'the MAC address is missing', judge: sees(/^10\.8\.2\.2 .*(INCOMPLETE|FAILED)/m) },
    ],
  },
  {
    id: 'vtep-mac',
    title: 'Give it the MAC address of the other end',
    why:
      'This is what flannel carries in each lease (VtepMAC). The route gets a gateway, 10.8.2.0, that stands for docker2, ' +
      'and one permanent neighbor entry per host says its MAC address. Nothing is asked on the way. So the MAC address is ' +
      'needed in either form; what the route has replaced is the FDB entry.',
    on: 'docker1',
    commands: [
      { line: 'ip -brief link show dev vxe', on: 'docker2', remember: { VTEP2: /([\da-f:]{17})/ } },
      { line: 'ip -brief link show dev vxe', remember: { VTEP1: /([\da-f:]{17})/ } },
      'ip neighbor replace 10.8.2.0 lladdr $VTEP2 nud permanent dev vxe',
      'ip route replace 10.8.2.0/24 encap ip id 88 dst 192.168.65.4 via 10.8.2.0 dev vxe onlink',
      { line: 'ip neighbor replace 10.8.1.0 lladdr $VTEP1 nud permanent dev vxe', on: 'docker2' },
      {
        line: 'ip route replace 10.8.1.0/24 encap ip id 88 dst 192.168.65.3 via 10.8.1.0 dev vxe onlink',
        on: 'docker2',
      },
      PING,
    ],
    checks: [
      { expected: 'the other namespace answers', judge: answered },
      {
        expected: 'still no FDB entry',
        command: 'bridge fdb show dev vxe',
        judge: lacks(/dst/, 'none'),
      },
    ],
  },
  {
    id: 'any-vni',
    title: 'What the external link gives up: the VNI is no border',
    why:
      'docker2 now sends with VNI 99, and docker1 takes it all the same: an external link receives every VNI of its port. ' +
      'An ordinary vxlan link, such as flannel.88, drops what is not of its VNI.',
    on: 'docker2',
    commands: [
      'ip route replace 10.8.1.0/24 encap ip id 99 dst 192.168.65.3 via 10.8.1.0 dev vxe onlink',
      { ...PING, on: 'docker1' },
    ],
    checks: [{ expected: 'answers with a foreign VNI arrive', judge: answered }],
  },
  {
    id: 'port-taken',
    title: 'And it shares its port with nobody',
    why:
      'Port 4789 belongs to flannel.88 and vx-blue, which tell their packets apart by the VNI. A link that takes every VNI ' +
      'cannot share it. Also, such a link has no broadcast at all, and needs Linux 4.3: flannel began before.',
    on: 'docker1',
    commands: [
      'ip link add vxe2 type vxlan external dstport 4789',
      { line: 'ip link set vxe2 up', mayFail: true },
      'ip link delete vxe2',
    ],
    checks: [{ expected: 'the kernel refuses', judge: sees(/Address already in use/) }],
  },
];
