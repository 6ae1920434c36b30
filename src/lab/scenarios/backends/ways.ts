/** The backends of the scenario `backends`: what each has in the kernel, adds to a packet, and answers to one that is too long. */
import { lacks, showsLike } from '../../scenario/judges.ts';
import type { Check, Judge, ScenarioStep } from '../../scenario/scenario.ts';

export interface BackendWay {
  readonly backend: 'udp' | 'vxlan' | 'host-gw';
  readonly config: string;
  /** Bytes that it adds to a packet. */
  readonly overhead: number;
  readonly device?: string;
  readonly objects: Pick<ScenarioStep, 'title' | 'why' | 'commands' | 'equivalent' | 'checks'>;
  /** Which headers these are, and what a capture shows of them. */
  readonly headers: string;
  readonly wire: Judge;
  /** Who refuses a packet that is a byte too long. */
  readonly refuser: string;
  readonly refusal: Judge;
}

const PORTS = "ss -lunpH 'sport = :8285 or sport = :4789'";
const ROUTE = 'ip route show $NET2.0/24';
const FORWARDER = 'pgrep -a -f forwarder';

const seenIn = (expected: string, line: string, judge: Judge): Check => ({
  expected,
  command: { line, mayFail: true },
  judge,
});
/** For a command that prints only what there is. */
const nothing: Judge = output => ({ seen: output.trim() || 'none', passed: output.trim() === '' });

export const WAYS: readonly BackendWay[] = [
  {
    backend: 'udp',
    config: '{"Type":"udp"}',
    overhead: 28,
    device: 'flannel0',
    objects: {
      title: 'udp: a device, a process, a port',
      why:
        'A TUN device hands each packet to a process, and the process sends it in a UDP datagram to the host that has the ' +
        'subnet. So each packet goes from the kernel to the process and back, on both hosts.',
      commands: [
        'ip -details link show dev flannel0',
        {
          line: FORWARDER,
          show: text => text.replaceAll(/^(\d+) \S*node \S*main\S* /gm, '$1 tulle '),
        },
        PORTS,
        ROUTE,
      ],
      checks: [
        seenIn('a TUN device', 'ip -details link show dev flannel0', showsLike('tun type tun')),
        seenIn('a process that moves packets', FORWARDER, showsLike('forwarder --device=flannel0')),
        seenIn('which has a UDP port', PORTS, showsLike('192.168.65.3:8285 .*pid=\\d+')),
        seenIn('a route into the device', ROUTE, showsLike('dev flannel0')),
      ],
    },
    headers: 'IPv4 20 and UDP 8; a TUN device has packets without an Ethernet header',
    wire: showsLike('flannel-udp$'),
    refuser: 'docker1 answers that flannel0 takes no more than 1472',
    refusal: showsLike('From $NET1.1 .*Frag needed and DF set \\(mtu = 1472\\)'),
  },
  {
    backend: 'vxlan',
    config: '{"Type":"vxlan","VNI":88,"Port":4789}',
    overhead: 50,
    device: 'flannel.88',
    objects: {
      title: 'vxlan: a device of the kernel, and three entries',
      why:
        'The kernel itself wraps the whole Ethernet frame into UDP. A route, a neighbor and an FDB entry say where it goes. ' +
        'No process sees a packet, and ss shows none at the port.',
      commands: [
        'ip -details link show dev flannel.88',
        PORTS,
        ROUTE,
        {
          line: 'ip neighbor show dev flannel.88',
          remember: { MAC2: /lladdr ([\da-f:]{17})/ },
        },
        'bridge fdb show dev flannel.88',
      ],
      equivalent: [
        'ip link add flannel.88 mtu 1450 type vxlan id 88 dev eth0 local 192.168.65.3 dstport 4789 nolearning',
        'ip link set flannel.88 up',
        'ip route add $NET2.0/24 via $NET2.0 dev flannel.88 onlink',
        'ip neighbor add $NET2.0 lladdr $MAC2 dev flannel.88 nud permanent',
        'bridge fdb add $MAC2 dev flannel.88 dst 192.168.65.4 self permanent',
      ],
      checks: [
        seenIn('a VXLAN device', 'ip -details link show dev flannel.88', showsLike('vxlan id 88')),
        seenIn('no process that moves packets', FORWARDER, nothing),
        seenIn('a UDP port of the kernel', PORTS, showsLike('0.0.0.0:4789 +0.0.0.0:\\* *$')),
        seenIn('a route to the other end', ROUTE, showsLike('via $NET2.0 dev flannel.88 .*onlink')),
        seenIn(
          'the MAC address of that end',
          'ip neighbor show dev flannel.88',
          showsLike('^$NET2.0 lladdr .* PERMANENT'),
        ),
        seenIn(
          'the host of that MAC address',
          'bridge fdb show dev flannel.88',
          showsLike('dst 192.168.65.4 self permanent'),
        ),
      ],
    },
    headers: 'outer IPv4 20, UDP 8 and VXLAN 8, and the Ethernet header 14 of the inner frame',
    wire: showsLike('vxlan +vni 88'),
    refuser: 'docker1 answers that flannel.88 takes no more than 1450',
    refusal: showsLike('From $NET1.1 .*Frag needed and DF set \\(mtu = 1450\\)'),
  },
  {
    backend: 'host-gw',
    config: '{"Type":"host-gw"}',
    overhead: 0,
    objects: {
      title: 'host-gw: a plain route',
      why:
        'No tunnel: the other host is the gateway to its subnet. That works where the hosts share a link; a router between ' +
        'them would know nothing of these subnets.',
      commands: ['ip -brief link', ROUTE],
      equivalent: ['ip route add $NET2.0/24 via 192.168.65.4 dev eth0'],
      checks: [
        seenIn('no device of a backend', 'ip -brief link', lacks(/flannel/, 'none')),
        seenIn('no UDP port', PORTS, nothing),
        seenIn('a route to the other host', ROUTE, showsLike('via 192.168.65.4 dev eth0')),
      ],
    },
    headers: 'nothing is added: between the hosts the packet is as the container made it',
    wire: showsLike('^ +ipv4 +$IP1 > $IP2'),
    refuser: 'the link of the container itself takes no more than 1500',
    refusal: showsLike('message too long, mtu=1500'),
  },
];
