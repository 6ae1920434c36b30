/** The networks that end at their host, or have no driver at all: none, host, bridge, macvlan. */
import { answered, lacks, sees, unanswered } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';
import { findSandbox, runContainer } from './run-container.ts';

const pingFrom = (on: string, ip: string): CommandSpec => ({
  line: `ping -c 1 -W 2 ${ip}`,
  on,
  mayFail: true,
});

export const LOCAL_STEPS: readonly ScenarioStep[] = [
  {
    id: 'networks',
    title: 'List the networks that every Docker has',
    why:
      'A network is a driver with its settings. These three are always there. "null" and "host" have nothing to set; the ' +
      'network "bridge" is the bridge docker0.',
    on: 'docker1',
    commands: ['docker network ls'],
    checks: [
      { expected: 'a network without links', judge: sees(/ none +null/) },
      { expected: 'a network that is the host itself', judge: sees(/ host +host/) },
      { expected: 'a bridge', judge: sees(/ bridge +bridge/) },
    ],
  },
  {
    id: 'none',
    title: 'none: a sandbox without a link',
    why:
      'The container gets a network namespace of its own (its sandbox), and nothing is put into it. This is where every ' +
      'other network begins.',
    on: 'docker1',
    commands: [runContainer('none', 'none'), findSandbox('none', 'NONE'), 'docker exec none ip address'],
    checks: [
      {
        expected: 'only lo',
        command: 'docker exec none ip -o link',
        judge: lacks(/^\d+: (?!lo:)/m, 'no other link'),
      },
      { expected: 'no route', command: 'docker exec none ip route', judge: lacks(/./, 'none') },
    ],
  },
  {
    id: 'host',
    title: 'host: no sandbox of its own',
    why:
      'The container shares the network namespace of the host: the same links, addresses, ports and rules. Docker calls ' +
      'this sandbox "default".',
    on: 'docker1',
    commands: [
      runContainer('host', 'host'),
      findSandbox('host', 'HOST'),
      'nsenter --net=$HOST ip -4 -brief address',
    ],
    checks: [
      {
        expected: 'its sandbox is that of the host',
        command: "docker inspect --format '{{.NetworkSettings.SandboxKey}}' host",
        judge: sees(/\/default$/),
      },
      { expected: 'it has the address of the host', judge: sees(/192\.168\.65\.3\/24/) },
    ],
  },
  {
    id: 'bridge',
    title: 'bridge: a veth pair to docker0',
    why:
      'The endpoint is a veth pair: one end is eth0 in the sandbox, the other a port of docker0. The address is from the ' +
      "bridge's subnet, and the bridge is the gateway.",
    on: 'docker1',
    commands: [
      runContainer('bridge', 'bridge'),
      findSandbox('bridge', 'BRIDGE'),
      'docker exec bridge ip -4 address show dev eth0',
      'docker exec bridge ip route',
      'ip -brief link show master docker0',
    ],
    checks: [
      { expected: 'eth0 has an address', judge: sees(/inet 188\.172\.\d+\.2\/24/) },
      { expected: 'the gateway is docker0', judge: sees(/^default via 188\.172\.\d+\.1 dev eth0/m) },
      { expected: 'the other end is a port of docker0', judge: sees(/^veth\w+@if/m) },
    ],
  },
  {
    id: 'macvlan',
    title: 'macvlan: a neighbor of the host',
    why:
      'The container gets a link on the wire of the host (eth0), with a MAC address and an address of that network. There is ' +
      'no bridge and no NAT. docker2 reaches it directly; docker1 itself does not, because macvlan keeps the two apart.',
    on: 'docker1',
    commands: [
      {
        line: 'docker network create --driver macvlan --subnet 192.168.65.0/24 --gateway 192.168.65.1 --ip-range 192.168.65.128/25 --opt parent=eth0 lan',
        quiet: true,
      },
      runContainer('lan', 'lan'),
      findSandbox('lan', 'LAN'),
      {
        line: 'docker exec lan ip -4 address show dev eth0',
        remember: { LANIP: /inet ([\d.]+)/ },
      },
      { line: 'nsenter --net=$LAN ip -d -brief link show type macvlan' },
    ],
    checks: [
      { expected: 'its link is a macvlan', judge: sees(/^eth0@if\d+ .*UP/m) },
      { expected: 'docker2 reaches it', command: pingFrom('docker2', '$LANIP'), judge: answered },
      { expected: 'its own host does not', command: pingFrom('docker1', '$LANIP'), judge: unanswered },
    ],
  },
];
