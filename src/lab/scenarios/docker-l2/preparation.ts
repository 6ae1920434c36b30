/** Two Docker hosts with the same network, before anything joins them. */
import { sees, unanswered } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';

/** Network and container of each host. */
const create = (on: string, name: string): CommandSpec[] => [
  { line: 'docker network create --subnet 172.18.0.0/16 mynetwork', on, quiet: true },
  {
    line: "docker network inspect --format '{{slice .Id 0 12}}' mynetwork",
    on,
    remember: { [name]: /^([\da-f]{12})$/m },
  },
];

const start = (on: string, container: string, ip: string, sandbox: string): CommandSpec[] => [
  {
    line: `docker run --detach --name ${container} --net mynetwork --ip ${ip} busybox sleep 99999`,
    on,
    quiet: true,
  },
  {
    line: `docker inspect --format '{{.NetworkSettings.SandboxKey}}' ${container}`,
    on,
    remember: { [sandbox]: /^(\/.+)$/m },
  },
];

export const PREPARATION_STEPS: readonly ScenarioStep[] = [
  {
    id: 'networks',
    title: 'Make the same network on both hosts',
    why:
      'Each dockerd makes a bridge, named after the id of the network, with the first address of the subnet as the ' +
      'gateway. The two do not know of each other.',
    on: 'vm1',
    commands: [
      ...create('vm1', 'NET1'),
      ...create('vm2', 'NET2'),
      'ip -4 -brief address show dev br-$NET1',
      { line: 'ip -4 -brief address show dev br-$NET2', on: 'vm2' },
    ],
    checks: [
      {
        expected: 'the bridge of vm1 has the gateway address',
        command: 'ip -4 -brief address show dev br-$NET1',
        judge: sees(/172\.18\.0\.1\/16/),
      },
      {
        expected: 'the bridge of vm2 has the same',
        command: { line: 'ip -4 -brief address show dev br-$NET2', on: 'vm2' },
        judge: sees(/172\.18\.0\.1\/16/),
      },
    ],
  },
  {
    id: 'containers',
    title: 'Start a container on each',
    why:
      'The addresses are chosen by hand: 172.18.0.2 and 172.18.0.3. Docker calls the network namespace of a container its ' +
      'sandbox, and says in which file it is. So the tools of the host can be used in it.',
    on: 'vm1',
    commands: [
      ...start('vm1', 'c1', '172.18.0.2', 'SANDBOX1'),
      ...start('vm2', 'c2', '172.18.0.3', 'SANDBOX2'),
      'nsenter --net=$SANDBOX1 ip -4 -brief address show dev eth0',
    ],
    checks: [{ expected: 'c1 has its address', judge: sees(/^eth0.*172\.18\.0\.2\/16/m) }],
  },
  {
    id: 'unreachable',
    title: 'Ping from one to the other',
    why:
      'For c1 the address is in its own subnet, so it asks by ARP. The request reaches all ports of the bridge of vm1; the ' +
      'other container is not there.',
    on: 'vm1',
    commands: [{ line: 'nsenter --net=$SANDBOX1 ping -c 1 -W 5 172.18.0.3', mayFail: true }],
    checks: [
      { expected: 'no answer', judge: unanswered },
      { expected: 'nobody has this address', judge: sees(/Destination Host Unreachable/) },
    ],
  },
];
