/** The first part: two namespaces on a bridge. */
import { answered, sees } from '../../scenario/judges.ts';
import type { Judge, ScenarioStep } from '../../scenario/scenario.ts';
import { NS2, pingFromNs1 } from './addresses.ts';

const PORTS = 'ip -brief link show master mybridge';

/** Each line of the output begins with a name, and `@` with the number of the other end. */
const portsAre =
  (...wanted: readonly string[]): Judge =>
  output => {
    const ports = output.split('\n').flatMap(line => /^[^\s@]+/.exec(line)?.[0] ?? []);
    return { seen: ports.join(', '), passed: wanted.every(name => ports.includes(name)) };
  };

export const NETWORK_STEPS: readonly ScenarioStep[] = [
  {
    id: 'bridge',
    title: 'Make a bridge, and give it an address',
    why:
      'A bridge learns which MAC address is behind which of its ports, like a switch. It is a link of the host at ' +
      'the same time: its address is how the host itself takes part in that network. docker0 is such a bridge.',
    on: 'vm1',
    commands: [
      'ip link add mybridge type bridge',
      'ip address add 192.168.2.1/24 dev mybridge',
      'ip link set mybridge up',
      'ip -brief address show mybridge',
    ],
    checks: [
      {
        expected: 'mybridge has 192.168.2.1/24',
        command: 'ip -brief address show mybridge',
        judge: sees(/^mybridge .*192\.168\.2\.1\/24/m),
      },
    ],
    key: true,
  },
  {
    id: 'namespaces',
    title: 'Plug two namespaces into it',
    why:
      'Each namespace gets a cable; the other end of the cable is a port of the bridge. The port needs no address: ' +
      'it only passes frames on.',
    on: 'vm1',
    commands: [
      'ip netns add ns1',
      'ip netns add ns2',
      'ip link add veth1 netns ns1 type veth peer name veth1-br',
      'ip link add veth2 netns ns2 type veth peer name veth2-br',
      'ip link set veth1-br master mybridge up',
      'ip link set veth2-br master mybridge up',
      PORTS,
    ],
    checks: [{ expected: 'both are ports of mybridge', judge: portsAre('veth1-br', 'veth2-br') }],
    key: true,
  },
  {
    id: 'addresses',
    title: 'Give each namespace its address and its default route',
    why:
      'Both addresses are of the network of the bridge, so that the two reach each other directly. Everything else ' +
      "goes to the gateway, which is the bridge's own address: there the host takes over.",
    on: 'vm1',
    commands: [
      'ip -n ns1 address add 192.168.2.10/24 dev veth1',
      `ip -n ns2 address add ${NS2}/24 dev veth2`,
      'ip -n ns1 link set veth1 up',
      'ip -n ns2 link set veth2 up',
      'ip -n ns1 route add default via 192.168.2.1',
      'ip -n ns2 route add default via 192.168.2.1',
      'ip -n ns1 route',
    ],
    checks: [
      {
        expected: 'ns1 has a route to its network',
        judge: sees(/^192\.168\.2\.0\/24 dev veth1/m),
      },
      { expected: 'and one to everything else', judge: sees(/^default via 192\.168\.2\.1/m) },
      {
        expected: 'the gateway answers ns1',
        command: pingFromNs1('192.168.2.1'),
        judge: answered,
        // A port forwards once it is in state "forwarding".
        within: 30,
      },
    ],
    key: true,
  },
];
