/** Two tenants with the same addresses on the same hosts, kept apart by their VNIs. */
import { finishCapture } from '../scenario/captured.ts';
import { answered, sees, unanswered } from '../scenario/judges.ts';
import type { CommandSpec, Scenario } from '../scenario/scenario.ts';

const TENANTS = ['red', 'blue'] as const;
const VNIS = { red: 5000, blue: 16_777_215 } as const;

/** A bridge with one container for each tenant, both with the same address. */
const tenantsOf = (on: string, address: string): CommandSpec[] =>
  TENANTS.flatMap(tenant => [
    { line: `ip netns add ${tenant}`, on },
    { line: `ip link add br-${tenant} up type bridge`, on },
    { line: `ip link add ve-${tenant} up master br-${tenant} type veth peer name eth0 netns ${tenant}`, on },
    { line: `ip -n ${tenant} address add ${address}/24 dev eth0`, on },
    { line: `ip -n ${tenant} link set eth0 up`, on },
  ]);

const tunnelsOf = (on: string, remote: string): CommandSpec[] =>
  TENANTS.map(tenant => ({
    line: `tulle tunnel add vx-${tenant} --vni ${VNIS[tenant]} --remote ${remote} --attach br-${tenant} --once`,
    on,
    quiet: true,
  }));

/** ARP asks again after a second. @param seconds of patience */
const ping = (tenant: string, ip: string, seconds = 2): CommandSpec => ({
  line: `ip netns exec ${tenant} ping -c 1 -W ${seconds} ${ip}`,
  mayFail: true,
});

/** ARP asks three times in three seconds, and with the last second without an answer drops what was sent meanwhile. */
const ARP_GIVES_UP = 4;

export const SCENARIO: Scenario = {
  name: 'vni-isolation',
  title: "VLAN's limit, and VXLAN's answer",
  lesson:
    'A VLAN has a number of 12 bits, a VXLAN network one of 24. Networks with different numbers share hosts, cables and even ' +
    'addresses, and never see each other.',
  drawing: `
  vm1 172.31.0.106                                  vm2 172.31.0.107
  +-----------------------------+   +-----------------------------+
  | red  10.0.0.1 -- br-red  ===|===|=== br-red  -- 10.0.0.2 red  | VNI 5000
  |                             |   |                             |
  | blue 10.0.0.1 -- br-blue ===|===|=== br-blue -- 10.0.0.2 blue | VNI 16777215
  +-----------------------------+   +-----------------------------+
`,
  topology: {
    segments: { underlay: { subnet: '172.31.0.0/24' } },
    hosts: {
      vm1: { links: [{ segment: 'underlay', address: '172.31.0.106' }] },
      vm2: { links: [{ segment: 'underlay', address: '172.31.0.107' }] },
    },
  },
  steps: [
    {
      id: 'limits',
      title: 'Ask for more than the numbers have room for',
      why:
        'The tag of a VLAN (IEEE 802.1Q) has 12 bits for its number: 4094 networks, as 0 and 4095 are reserved. The VNI of ' +
        'VXLAN (RFC 7348) has 24 bits: 16,777,215 is the largest.',
      on: 'vm1',
      commands: [
        { line: 'bridge vlan add vid 4096 dev eth0', mayFail: true },
        { line: 'ip link add vx type vxlan id 16777216 remote 172.31.0.107 dstport 4789', mayFail: true },
      ],
      checks: [
        { expected: 'there is no VLAN 4096', judge: sees(/Invalid VLAN ID "4096"/) },
        { expected: 'there is no VNI 16777216', judge: sees(/16777216.*invalid id/) },
      ],
    },
    {
      id: 'tenants',
      title: 'Make two tenants on each host',
      why:
        'Each has a bridge and a container (a namespace with a cable to the bridge). Both use the same addresses: 10.0.0.1 on ' +
        'vm1, 10.0.0.2 on vm2. That is no conflict, as nothing connects them.',
      on: 'vm1',
      commands: [
        ...tenantsOf('vm1', '10.0.0.1'),
        ...tenantsOf('vm2', '10.0.0.2').map(spec => ({ ...spec, quiet: true as const })),
      ],
      checks: [
        {
          expected: 'red has 10.0.0.1',
          command: 'ip -n red -brief address show eth0',
          judge: sees(/10\.0\.0\.1\/24/),
        },
        {
          expected: 'blue has it too',
          command: 'ip -n blue -brief address show eth0',
          judge: sees(/10\.0\.0\.1\/24/),
        },
        {
          expected: 'red of vm2 is out of reach',
          // Left to ask in vain, it would lose the next step's ping to the same address.
          command: ping('red', '10.0.0.2', ARP_GIVES_UP),
          judge: unanswered,
        },
      ],
      key: true,
    },
    {
      id: 'tunnels',
      title: 'Give each tenant a tunnel with a VNI of its own',
      why:
        'The bridges of a tenant become one Ethernet segment. Both tunnels use the same hosts and the same UDP port; only the ' +
        'VNI in each packet says whose frame it is. Neither 5000 nor 16777215 could be a VLAN.',
      on: 'vm1',
      commands: [
        ...tunnelsOf('vm1', '172.31.0.107'),
        ...tunnelsOf('vm2', '172.31.0.106'),
        'tulle tunnel list',
      ],
      equivalent: TENANTS.map(
        tenant =>
          `ip link add vx-${tenant} up master br-${tenant} mtu 1450 type vxlan id ${VNIS[tenant]} remote 172.31.0.107 dstport 4789`,
      ),
      checks: [
        { expected: 'VNI 5000 is up', command: 'ip -d link show vx-red', judge: sees(/vxlan id 5000 /) },
        {
          expected: 'VNI 16777215 is up',
          command: 'ip -d link show vx-blue',
          judge: sees(/vxlan id 16777215 /),
        },
      ],
      key: true,
    },
    {
      id: 'reach',
      title: 'Each tenant reaches its own',
      why: 'The same ping twice, to the same address, from namespaces that know nothing of each other: each is answered by its own peer.',
      on: 'vm1',
      commands: [
        ping('red', '10.0.0.2'),
        ping('blue', '10.0.0.2'),
        {
          line: 'ip -n red -brief link show eth0',
          on: 'vm2',
          remember: { RED: /([\da-f]{2}(?::[\da-f]{2}){5})/ },
        },
        {
          line: 'ip -n blue -brief link show eth0',
          on: 'vm2',
          remember: { BLUE: /([\da-f]{2}(?::[\da-f]{2}){5})/ },
        },
        'ip -n red neighbor',
        'ip -n blue neighbor',
      ],
      checks: [
        { expected: "red's peer answers", command: ping('red', '10.0.0.2'), judge: answered },
        { expected: "blue's peer answers", command: ping('blue', '10.0.0.2'), judge: answered },
        {
          expected: 'red has found $RED',
          command: 'ip -n red neighbor',
          judge: (output, { known }) => ({
            seen: output.trim(),
            passed: output.includes(`lladdr ${known['RED']}`),
          }),
        },
        {
          expected: 'blue has found $BLUE',
          command: 'ip -n blue neighbor',
          judge: (output, { known }) => ({
            seen: output.trim(),
            passed: output.includes(`lladdr ${known['BLUE']}`),
          }),
        },
      ],
    },
    {
      id: 'isolation',
      title: 'No tenant sees the other',
      why:
        'An address that only blue has: even the broadcast of ARP, which goes to everyone in a network, stays within its VNI, so ' +
        'red asks in vain.',
      on: 'vm1',
      commands: [
        { line: 'ip -n blue address add 10.0.0.77/24 dev eth0', on: 'vm2' },
        ping('blue', '10.0.0.77'),
        ping('red', '10.0.0.77'),
      ],
      checks: [
        { expected: 'blue reaches it', command: ping('blue', '10.0.0.77'), judge: answered },
        { expected: 'red does not', command: ping('red', '10.0.0.77'), judge: unanswered },
      ],
    },
    {
      id: 'wire',
      title: 'Both at once on the underlay',
      why: 'On the wire between the hosts both are there, with equal inner addresses. The VNI is the only difference that counts.',
      on: 'vm2',
      commands: [
        {
          line: "tulle capture eth0 -n --count 4 --filter 'vxlan and inner ipv4 and inner icmp'",
          background: 'capture',
          ready: /capturing on/,
        },
        { ...ping('red', '10.0.0.2'), on: 'vm1', quiet: true },
        { ...ping('blue', '10.0.0.2'), on: 'vm1', quiet: true },
      ],
      act: stage => finishCapture(stage, 'capture'),
      equivalent: ["tcpdump -n -v -i eth0 'udp port 4789'"],
      checks: [
        { expected: "red's ping, with VNI 5000", judge: sees(/vni 5000\b.*10\.0\.0\.1 > 10\.0\.0\.2/) },
        {
          expected: "blue's ping, with VNI 16777215",
          judge: sees(/vni 16777215\b.*10\.0\.0\.1 > 10\.0\.0\.2/),
        },
      ],
    },
  ],
};
