/** The first way: a vxlan link as a port of the bridge, typed by hand. */
import { answered, sees } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';
import { echo, echoPasses, fetch, fetched, SERVE } from './probes.ts';

const join = (on: string, bridge: string, remote: string): CommandSpec[] =>
  [
    `ip link add vxlan_docker type vxlan id 200 remote ${remote} dstport 4789 dev eth0`,
    'ip link set vxlan_docker up',
    `ip link set vxlan_docker master ${bridge}`,
  ].map(line => ({ line, on }));

export const BY_HAND_STEPS: readonly ScenarioStep[] = [
  {
    id: 'by-hand',
    title: 'First way: a vxlan link in each bridge, by hand',
    why:
      'What the bridge floods to this port goes in UDP packets to the other host, and comes out of the port there: a cable ' +
      'between the two bridges. The VNI 200 keeps it apart from others that use the same UDP port.',
    on: 'vm1',
    commands: [
      ...join('vm1', 'br-$NET1', '172.31.0.107'),
      ...join('vm2', 'br-$NET2', '172.31.0.106'),
      { line: 'nsenter --net=$SANDBOX1 ping -c 1 172.18.0.3', mayFail: true },
    ],
    checks: [
      { expected: 'c2 answers c1', judge: answered },
      { expected: 'no router is on the way', judge: sees(/ttl=64/) },
    ],
    key: true,
  },
  {
    id: 'large-packets',
    title: 'Send large packets',
    why:
      'The link of c1 has an MTU of 1500, and VXLAN adds 50 bytes, so 1450 is what fits. A router would answer that the ' +
      'packet is too big. But a bridge is no router: it drops the frame and says nothing.',
    on: 'vm1',
    commands: [echo(1428), echo(1450), echo(1500)],
    checks: [
      echoPasses(1428),
      echoPasses(1450),
      {
        expected: '1500 bytes vanish without a word',
        judge: sees(/^1 packets transmitted, 0 received, 100%/m),
      },
      {
        expected: 'c1 still believes in 1500',
        command: 'nsenter --net=$SANDBOX1 ip link show dev eth0',
        judge: sees(/mtu 1500/),
      },
    ],
  },
  {
    id: 'stream',
    title: 'Fetch a megabyte over TCP',
    why:
      'It works, thanks to a special case. TCP hands over pieces of up to 64 KiB that are cut later. A bridge does not measure ' +
      'those, so they reach the vxlan link, and there Linux since 5.9 answers for it: too big. So c2 learns the size. An older ' +
      'kernel, or a program that sends large packets one by one, is told nothing.',
    on: 'vm1',
    commands: [...SERVE, fetch()],
    checks: [fetched],
  },
];
