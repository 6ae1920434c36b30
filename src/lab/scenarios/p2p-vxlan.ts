/** Two hosts and one VXLAN tunnel between them. */
import { finishCapture } from '../scenario/captured.ts';
import { answered, counts, sees, showsLike } from '../scenario/judges.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** What a reader types on each host without Tulle. */
const byHand = (own: string, remote: string) => [
  `ip link add vxlan1 type vxlan id 1 remote ${remote} dstport 4789 dev eth0`,
  `ip address add ${own}/24 dev vxlan1`,
  'ip link set vxlan1 up',
];

export const SCENARIO: Scenario = {
  name: 'p2p-vxlan',
  title: 'Two hosts, one tunnel',
  lesson:
    'A VXLAN link is a cable that is made of UDP packets: what is sent into it on one host comes out of it on the other, ' +
    'whatever network is between them.',
  drawing: `
    vm1                                              vm2
    +--------------------------+     +--------------------------+
    |  vxlan1 10.0.0.106/24    |     |    10.0.0.107/24 vxlan1  |
    |     ||                   |     |                   ||     |
    |     || VNI 1, UDP 4789   |     |   VNI 1, UDP 4789 ||     |
    |     ||                   |     |                   ||     |
    |   eth0 172.31.0.106 =====|=====|===== 172.31.0.107 eth0   |
    +--------------------------+     +--------------------------+
`,
  topology: {
    segments: { underlay: { subnet: '172.31.0.0/24' } },
    hosts: {
      vm1: { links: [{ segment: 'underlay', address: '172.31.0.106' }] },
      vm2: { links: [{ segment: 'underlay', address: '172.31.0.107' }] },
    },
  },
  programs: { tshark: 'tshark', busybox: 'busybox-static', nft: 'nftables' },
  steps: [
    {
      id: 'agent',
      title: 'Start an agent on vm1',
      why:
        'It will keep the tunnel: over restarts, and whatever happens to the link. There is no store at the address ' +
        'that it gets: a tunnel needs none.',
      on: 'vm1',
      commands: [
        { line: 'tulle agent --etcd-endpoints=http://127.0.0.1:2379', background: 'agent', ready: /starts/ },
        'ping -c 1 172.31.0.107',
      ],
      checks: [{ expected: 'the hosts reach each other over the underlay', judge: answered }],
      key: true,
    },
    {
      id: 'first-end',
      title: 'Make the end on vm1',
      why:
        'A VXLAN link needs a number that both ends agree on (the VNI), the address of the other host, and a UDP port. ' +
        "Linux' own default is 8472; IANA has given 4789 to VXLAN, and `tulle tunnel` uses that.",
      on: 'vm1',
      commands: [
        'tulle tunnel add vxlan1 --vni 1 --remote 172.31.0.107 --dev eth0 --address 10.0.0.106/24',
        'ip route',
      ],
      equivalent: byHand('10.0.0.106', '172.31.0.107'),
      checks: [
        {
          expected: 'a vxlan link with VNI 1 to vm2',
          command: 'ip -d link show vxlan1',
          judge: sees(/vxlan id 1 remote 172\.31\.0\.107 dev eth0 .*dstport 4789/),
        },
        {
          expected: 'with its address comes a connected route',
          command: 'ip route',
          judge: sees(/^10\.0\.0\.0\/24 dev vxlan1 .*src 10\.0\.0\.106/m),
        },
        {
          expected: 'its MTU is 1450: 50 bytes of eth0 are for the outer headers',
          command: 'ip link show vxlan1',
          judge: sees(/mtu 1450/),
        },
      ],
      key: true,
    },
    {
      id: 'second-end',
      title: 'Make the end on vm2',
      why: 'The same, the other way round. No agent runs here: with --once the command makes the link itself.',
      on: 'vm2',
      commands: [
        'tulle tunnel add vxlan1 --vni 1 --remote 172.31.0.106 --dev eth0 --address 10.0.0.107/24 --once',
      ],
      equivalent: byHand('10.0.0.107', '172.31.0.106'),
      checks: [
        {
          expected: 'a vxlan link with VNI 1 to vm1',
          command: 'ip -d link show vxlan1',
          judge: sees(/vxlan id 1 remote 172\.31\.0\.106 dev eth0 .*dstport 4789/),
        },
      ],
      key: true,
    },
    {
      id: 'ping',
      title: 'Ping through it',
      why:
        'The route sends the packet into vxlan1. As on any Ethernet, ARP asks first for the MAC address of 10.0.0.107; ' +
        'the question goes through the tunnel too.',
      on: 'vm1',
      commands: [{ line: 'ping -c 1 10.0.0.107', mayFail: true }, 'ip neighbor show dev vxlan1'],
      checks: [
        {
          expected: 'vm2 answers vm1',
          command: { line: 'ping -c 1 -W 2 10.0.0.107', mayFail: true },
          judge: answered,
        },
        {
          expected: 'vm1 answers vm2',
          command: { line: 'ping -c 1 -W 2 10.0.0.106', on: 'vm2', mayFail: true },
          judge: answered,
        },
        {
          expected: 'ARP has found the other end of the tunnel',
          command: 'ip neighbor show dev vxlan1',
          judge: sees(/^10\.0\.0\.107 lladdr/m),
        },
      ],
    },
    {
      id: 'capture',
      title: 'See both layers on the underlay',
      why:
        'A frame of the tunnel is the payload of a UDP packet between the hosts: outer Ethernet, IP and UDP, then the VXLAN ' +
        'header with the VNI, then the frame as vxlan1 sent it.',
      on: 'vm1',
      commands: [
        {
          line: "tulle capture eth0 -n -v --count 2 --filter 'vni 1 and inner ipv4 and inner icmp' --to /run/p2p.pcapng",
          background: 'capture',
          ready: /capturing on/,
        },
        { line: 'ping -c 1 -W 2 10.0.0.107', quiet: true, mayFail: true },
      ],
      act: stage => finishCapture(stage, 'capture'),
      equivalent: ["tcpdump -n -v -i eth0 'udp port 4789'"],
      checks: [
        {
          expected: 'outside: from host to host',
          judge: showsLike('172.31.0.106 > 172.31.0.107, ttl 64, protocol 17'),
        },
        { expected: 'UDP to port 4789', judge: showsLike('udp +\\d+ > 4789') },
        { expected: 'VXLAN with VNI 1', judge: showsLike('vxlan +vni 1') },
        { expected: 'inside: the ping', judge: showsLike('10.0.0.106 > 10.0.0.107, ttl 64, protocol 1') },
        {
          expected: 'Wireshark reads the same from the file',
          command:
            'tshark -n -r /run/p2p.pcapng -T fields -e ip.src -e ip.dst -e udp.dstport -e vxlan.vni -e icmp.type',
          judge: sees(/^172\.31\.0\.106,10\.0\.0\.106\t172\.31\.0\.107,10\.0\.0\.107\t4789\t1\t8$/m),
        },
      ],
    },
    {
      id: 'size',
      title: 'Send a packet that just fits, and one that does not',
      why:
        'vxlan1 takes 1450 bytes: with 20 bytes of IP and 8 of ICMP that is a payload of 1422. Larger ones are refused on vm1 ' +
        'itself when they must not be fragmented.',
      on: 'vm1',
      commands: [
        { line: 'ping -c 1 -W 2 -M do -s 1422 10.0.0.107', mayFail: true },
        { line: 'ping -c 1 -W 2 -M do -s 1423 10.0.0.107', mayFail: true },
      ],
      checks: [
        {
          expected: '1450 bytes arrive',
          command: { line: 'ping -c 1 -W 2 -M do -s 1422 10.0.0.107', mayFail: true },
          judge: answered,
        },
        {
          expected: '1451 bytes are refused with the reason',
          judge: sees(/message too long, mtu[=:] ?1450/),
        },
      ],
    },
    {
      id: 'lossy',
      title: 'Lose every tenth frame on the way',
      why:
        'Why UDP, which is not reliable? Because an Ethernet is not reliable either: the tunnel may lose frames as a cable ' +
        'may. What must arrive is repaired end to end, by the TCP inside. A tunnel that repaired it as well would only ' +
        'delay what TCP sends again.',
      on: 'vm1',
      commands: [
        { line: 'dd if=/dev/urandom of=/run/megabyte bs=1048576 count=1', on: 'vm2', show: () => '' },
        { line: 'sha256sum /run/megabyte', on: 'vm2', remember: { SUM: /^([\da-f]{64})/ } },
        { line: 'busybox httpd -f -p 10.0.0.107:8000 -h /run', on: 'vm2', background: 'httpd' },
        'nft add table ip lossy',
        "nft add chain ip lossy input '{ type filter hook input priority 0; }'",
        'nft add rule ip lossy input udp dport 4789 numgen inc mod 10 0 counter drop',
        {
          line: 'ping -q -c 30 -i 0.05 -W 1 10.0.0.107',
          mayFail: true,
          show: output => output.replace(/^PING.*\n\n/, '').replace(/\nrtt.*/, ''),
        },
        'busybox wget -q -O /run/fetched http://10.0.0.107:8000/megabyte',
        'sha256sum /run/fetched',
        'nft list chain ip lossy input',
        'nft delete table ip lossy',
      ],
      checks: [
        {
          expected: 'ping loses echoes: nobody sends them again',
          judge: counts(/(\d+) received/, received => received > 0 && received < 30, 'of 30 answered'),
        },
        { expected: 'the file arrives as it was', judge: showsLike('^$SUM {2}/run/fetched') },
        {
          expected: 'frames were lost',
          judge: counts(/counter packets (\d+)/, lost => lost > 0, 'lost'),
        },
      ],
    },
    {
      id: 'repair',
      title: 'Delete the link by hand',
      why:
        'What was typed with ip would be gone now. The agent sees that the link is missing and makes it again, with the same ' +
        'MAC address, so that vm2 need not ask anew.',
      on: 'vm1',
      commands: ['ip link delete vxlan1'],
      equivalent: ['# nothing: type the three commands again'],
      checks: [
        {
          expected: 'the link is there again',
          command: { line: 'ip -d link show vxlan1', mayFail: true },
          judge: sees(/vxlan id 1 remote 172\.31\.0\.107/),
          within: 30,
        },
        {
          expected: 'and carries packets',
          command: { line: 'ping -c 1 -W 2 10.0.0.107', mayFail: true },
          judge: answered,
          within: 30,
        },
      ],
    },
    {
      id: 'list',
      title: 'Look at it, and take it away',
      why: 'The list shows what the kernel has: counters, and how many MAC addresses were learned. Then nothing is left.',
      on: 'vm1',
      commands: [
        'ping -c 1 -W 2 10.0.0.107',
        'tulle tunnel list',
        'tulle tunnel delete vxlan1',
        { line: 'tulle tunnel delete vxlan1', on: 'vm2' },
        'ip -brief link',
      ],
      equivalent: ['ip -s link show vxlan1', 'bridge fdb show dev vxlan1', 'ip link delete vxlan1'],
      checks: [
        { expected: 'the tunnel is up', judge: showsLike('^vxlan1 +up +1 +172.31.0.107') },
        { expected: 'one MAC address was learned', judge: sees(/^vxlan1 .* 1 +agent$/m) },
        {
          expected: 'no vxlan link is left on vm1',
          command: 'ip -brief link show type vxlan',
          judge: output => ({ seen: output.trim() || 'none', passed: output.trim() === '' }),
        },
        {
          expected: 'and none on vm2',
          command: { line: 'ip -brief link show type vxlan', on: 'vm2' },
          judge: output => ({ seen: output.trim() || 'none', passed: output.trim() === '' }),
        },
      ],
    },
  ],
};
