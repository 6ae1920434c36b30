/** Two network namespaces and a cable between them: what a container's network is made of. */
import { answered, lacks, sees } from '../scenario/judges.ts';
import type { Scenario } from '../scenario/scenario.ts';

export const SCENARIO: Scenario = {
  name: 'netns-veth',
  title: 'Two namespaces, one cable',
  lesson:
    'A container has a network of its own because it has a network namespace: links, addresses, routes and rules that ' +
    'nobody else sees. A veth pair is a cable between two of them.',
  drawing: `
    vm1
    +----------------------+              +----------------------+
    | namespace ns1        |              | namespace ns2        |
    |                      |              |                      |
    |  myveth1 ------------|--- cable ----|------------ myveth2  |
    |  192.168.1.1/24      |              |      192.168.1.2/24  |
    +----------------------+              +----------------------+
`,
  topology: { hosts: { vm1: {} } },
  steps: [
    {
      id: 'namespaces',
      title: 'Make two network namespaces',
      why:
        'A namespace is an empty copy of the network stack. This is what a container runtime makes first. Its only ' +
        'link is the loopback, and even that is down.',
      on: 'vm1',
      commands: ['ip netns add ns1', 'ip netns add ns2', 'ip -n ns1 -brief link', 'ip -n ns2 -brief link'],
      checks: [
        {
          expected: 'ns1 has nothing but lo',
          command: 'ip -n ns1 -oneline link',
          judge: lacks(/^\d+: (?!lo)/m, 'only lo'),
        },
        { expected: 'lo is down in ns1', command: 'ip -n ns1 -brief link', judge: sees(/^lo\s+DOWN/m) },
        { expected: 'lo is down in ns2', command: 'ip -n ns2 -brief link', judge: sees(/^lo\s+DOWN/m) },
      ],
      key: true,
    },
    {
      id: 'isolated',
      title: 'Try to reach one from the other',
      why: 'ns1 has no link that leads anywhere, so it has no route either: the packet is not even sent.',
      on: 'vm1',
      commands: [{ line: 'ip netns exec ns1 ping -c 1 -W 1 192.168.1.2', mayFail: true }],
      checks: [{ expected: 'there is no way', judge: sees(/Network is unreachable/) }],
    },
    {
      id: 'cable',
      title: 'Lay a cable: a veth pair',
      why: 'A veth pair is made as a whole. What enters one end leaves the other, whichever namespace it is in.',
      on: 'vm1',
      commands: ['ip link add myveth1 netns ns1 type veth peer name myveth2 netns ns2'],
      checks: [
        { expected: 'ns1 has the end myveth1', command: 'ip -n ns1 -brief link', judge: sees(/^myveth1/m) },
        { expected: 'ns2 has the end myveth2', command: 'ip -n ns2 -brief link', judge: sees(/^myveth2/m) },
      ],
      key: true,
    },
    {
      id: 'addresses',
      title: 'Give each end an address, and set it up',
      why:
        'The address has a prefix of 24 bits: the kernel adds a route to 192.168.1.0/24 over the link as soon as the ' +
        'link is up. A cable carries packets only when both ends are up.',
      on: 'vm1',
      commands: [
        'ip -n ns1 address add 192.168.1.1/24 dev myveth1',
        'ip -n ns2 address add 192.168.1.2/24 dev myveth2',
        'ip -n ns1 link set myveth1 up',
        'ip -n ns2 link set myveth2 up',
        'ip -n ns1 route',
        'ip -n ns2 route',
      ],
      checks: [
        {
          expected: 'ns1 has the connected route',
          command: 'ip -n ns1 route',
          judge: sees(/^192\.168\.1\.0\/24 dev myveth1 .*src 192\.168\.1\.1/m),
        },
        {
          expected: 'ns2 has the connected route',
          command: 'ip -n ns2 route',
          judge: sees(/^192\.168\.1\.0\/24 dev myveth2 .*src 192\.168\.1\.2/m),
        },
      ],
      key: true,
    },
    {
      id: 'ping',
      title: 'Ping both ways',
      why:
        'The sender asks for the MAC address behind 192.168.1.2 with an ARP request, which the cable carries like any ' +
        'other frame. Then the echo goes there.',
      on: 'vm1',
      commands: [
        { line: 'ip netns exec ns1 ping -c 1 192.168.1.2', mayFail: true },
        { line: 'ip netns exec ns2 ping -c 1 192.168.1.1', mayFail: true },
      ],
      checks: [
        {
          expected: 'ns2 answers ns1',
          command: { line: 'ip netns exec ns1 ping -c 1 -W 2 192.168.1.2', mayFail: true },
          judge: answered,
        },
        {
          expected: 'ns1 answers ns2',
          command: { line: 'ip netns exec ns2 ping -c 1 -W 2 192.168.1.1', mayFail: true },
          judge: answered,
        },
      ],
    },
    {
      id: 'neighbors',
      title: 'See what ARP has found',
      why: 'The answer is kept in the neighbor table, so that the next packet need not ask again.',
      on: 'vm1',
      commands: ['ip -n ns1 neighbor', 'ip -n ns2 -brief link show myveth2'],
      checks: [
        {
          expected: 'ns1 knows the MAC address of 192.168.1.2',
          command: 'ip -n ns1 neighbor',
          judge: sees(/^192\.168\.1\.2 dev myveth1 lladdr/m),
        },
      ],
    },
  ],
};
