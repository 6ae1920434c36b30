/** The second way: `tulle tunnel add --attach`, and the other form of the walkthrough with it. */
import { answered, sees } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';
import { echo, echoPasses, echoRefused, fetch, fetched } from './probes.ts';

const IDLE = 'busybox sleep 99999';

/** Second form: another subnet, VNI and underlay. */
const second = (on: string, container: string, ip: string, remote: string): CommandSpec[] => [
  { line: 'docker network create --subnet 192.168.110.0/24 othernetwork', on, quiet: true },
  { line: `docker run --detach --name ${container} --net othernetwork --ip ${ip} ${IDLE}`, on, quiet: true },
  {
    line: `tulle tunnel add vxlan77 --vni 77 --remote ${remote} --dev eth1 --attach othernetwork`,
    on,
    quiet: true,
  },
];

export const TUNNEL_STEPS: readonly ScenarioStep[] = [
  {
    id: 'tunnel',
    title: 'Second way: let Tulle make the tunnel',
    why:
      'The same link, but the agent keeps it: it is there again after a restart, and is repaired when it is changed. --attach ' +
      'finds the bridge by the name of the Docker network, and lowers the MTU of everything behind it.',
    on: 'vm1',
    commands: [
      'ip link delete vxlan_docker',
      { line: 'ip link delete vxlan_docker', on: 'vm2' },
      'tulle tunnel add vxlan_docker --vni 200 --remote 172.31.0.107 --attach mynetwork',
      {
        line: 'tulle tunnel add vxlan_docker --vni 200 --remote 172.31.0.106 --attach mynetwork',
        on: 'vm2',
      },
      { line: 'nsenter --net=$SANDBOX1 ping -c 1 172.18.0.3', mayFail: true },
    ],
    equivalent: [
      'ip link add vxlan_docker type vxlan id 200 remote 172.31.0.107 dstport 4789',
      'ip link set vxlan_docker up master br-<id>',
      'nsenter --net=<sandbox> ip link set eth0 mtu 1450   # in each container',
    ],
    checks: [
      { expected: 'c2 answers c1', judge: answered },
      {
        expected: 'c1 has the MTU that fits',
        command: 'nsenter --net=$SANDBOX1 ip link show dev eth0',
        judge: sees(/mtu 1450/),
      },
    ],
  },
  {
    id: 'tunnel-large',
    title: 'Send large packets again',
    why:
      'What fits passes. What is too big is now refused where it is made: the kernel of c1 knows its MTU, tells the program, ' +
      'and nothing vanishes.',
    on: 'vm1',
    commands: [echo(1450), echo(1500), fetch()],
    checks: [echoPasses(1450), echoRefused, fetched],
  },
  {
    id: 'second-form',
    title: 'Another subnet, another underlay, another VNI',
    why:
      'The second form of the walkthrough, beside the first: 192.168.110.0/24 with VNI 77, over the network 10.0.3.0/24 of ' +
      'eth1. The VNI tells the two apart, so they may share the UDP port.',
    on: 'vm1',
    commands: [
      ...second('vm1', 'd1', '192.168.110.2', '10.0.3.122'),
      ...second('vm2', 'd2', '192.168.110.3', '10.0.3.121'),
      { line: 'docker exec d1 ping -c 1 -W 2 192.168.110.3', mayFail: true },
      'tulle tunnel list',
    ],
    checks: [{ expected: 'd2 answers d1', judge: answered }],
  },
  {
    id: 'delete-tunnels',
    title: 'Delete the tunnels',
    why: 'They go without a trace: the bridge has no port of them, and c1 has its former MTU again.',
    on: 'vm1',
    commands: ['vm1', 'vm2'].flatMap(on => [
      { line: 'tulle tunnel delete vxlan_docker', on },
      { line: 'tulle tunnel delete vxlan77', on },
    ]),
    checks: [
      {
        expected: 'no vxlan link is a port of the bridge',
        command: 'ip -brief link show type vxlan master br-$NET1',
        judge: output => ({ seen: output.trim() || 'none', passed: output.trim() === '' }),
      },
      {
        expected: 'the MTU of c1 is 1500',
        command: 'nsenter --net=$SANDBOX1 ip link show dev eth0',
        judge: sees(/mtu 1500/),
      },
    ],
  },
];
