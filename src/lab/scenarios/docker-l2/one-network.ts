/** The third way: an L2 network of Tulle, which Docker on every host uses as a network of its own. */
import { counts, sees } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';
import { inOrder } from '../../scenario/shown.ts';
import { echo, echoPasses, echoRefused, fetch, fetched, SERVE } from './probes.ts';

const HOSTS = ['vm1', 'vm2'] as const;

const IPAM = "docker network inspect --format '{{json .IPAM.Config}}' mynetwork";
const OWN_RANGE = /"Subnet":"172\.18\.0\.0\/16","IPRange":"172\.18\.\d+\.\d+\/\d+","Gateway":"172\.18\.0\.1"/;

const start = (on: string, name: string, known: string): CommandSpec[] => [
  { line: `docker run --detach --name ${name} --net mynetwork busybox sleep 99999`, on, quiet: true },
  {
    line: `docker inspect --format '{{.NetworkSettings.Networks.mynetwork.IPAddress}}' ${name}`,
    on,
    remember: { [known]: /^(\d[\d.]+)$/m },
  },
];

export const ONE_NETWORK_STEPS: readonly ScenarioStep[] = [
  {
    id: 'network',
    title: 'Third way: one network of Tulle for all hosts',
    why:
      'One command on one host. The store gives the network a VNI, and to each host a range of its addresses. With --docker ' +
      'each dockerd gets a bridge network of the same name, and gives out addresses of the range of its host only.',
    on: 'vm1',
    commands: [
      { line: 'docker rm --force c1', quiet: true },
      { line: 'docker network rm mynetwork', quiet: true },
      { line: 'docker rm --force c2', on: 'vm2', quiet: true },
      { line: 'docker network rm mynetwork', on: 'vm2', quiet: true },
      'tulle network create mynetwork --subnet 172.18.0.0/16 --docker',
      // Both Dockers have it a moment later.
      ...HOSTS.map(on => ({
        line: "sh -c 'until docker network inspect mynetwork; do sleep 0.2; done'",
        on,
        quiet: true as const,
      })),
    ],
    checks: HOSTS.map(on => ({
      expected: `Docker on ${on} has the network, and a range of its own`,
      command: { line: IPAM, on, mayFail: true as const },
      judge: sees(OWN_RANGE),
      within: 30,
    })),
  },
  {
    id: 'own-addresses',
    title: 'Start a container on each, without choosing addresses',
    why:
      'On their own both Dockers would have begun with 172.18.0.2. Now each takes from its own range, so no address is given ' +
      'out twice.',
    on: 'vm1',
    commands: [
      ...start('vm1', 'c1', 'IP1'),
      ...start('vm2', 'c2', 'IP2'),
      {
        line: "docker inspect --format '{{.NetworkSettings.SandboxKey}}' c1",
        remember: { SANDBOX1: /^(\/.+)$/m },
      },
    ],
    checks: [
      {
        expected: 'two containers, two addresses',
        judge: (_, { known: { IP1 = '', IP2 = '' } }) => ({ seen: `${IP1} and ${IP2}`, passed: IP1 !== IP2 }),
      },
      {
        expected: 'the network knows c2, and on which host it is',
        command: 'tulle network inspect mynetwork',
        judge: sees(/^c2 +vm2 /m),
        within: 30,
      },
    ],
  },
  {
    id: 'one-ethernet',
    title: 'Send small and large packets once more',
    why:
      'The containers had the right MTU from the start. What fits passes, also over TCP, and what is too big is refused with ' +
      'the reason.',
    on: 'vm1',
    commands: [
      { line: 'nsenter --net=$SANDBOX1 ping -c 1 -W 2 $IP2', mayFail: true },
      echo(1450, '$IP2'),
      echo(1500, '$IP2'),
      ...SERVE,
      fetch('$IP2'),
    ],
    checks: [
      { expected: 'c2 answers c1, over no router', judge: sees(/^64 bytes from .*ttl=64/m) },
      echoPasses(1450),
      echoRefused,
      fetched,
    ],
  },
  {
    id: 'one-gateway',
    title: 'Ask for the gateway',
    why:
      'Both bridges have 172.18.0.1, now on purpose and with the same MAC address. What is asked about the gateway never ' +
      'crosses the tunnel: each host is the gateway of its own containers.',
    on: 'vm1',
    commands: [
      { line: 'nsenter --net=$SANDBOX1 busybox arping -c 1 -w 2 -I eth0 172.18.0.1', mayFail: true },
      { line: 'ip -brief link show dev tb-mynetwork', remember: { GATEWAY: /([\da-f:]{17})/ } },
      { line: 'ip -brief link show dev tb-mynetwork', on: 'vm2' },
    ],
    checks: [
      { expected: 'one answer', judge: counts(/Received (\d+) response/, received => received === 1) },
      {
        expected: 'the bridge of vm2 has the same MAC address, $GATEWAY',
        command: { line: 'ip -brief link show dev tb-mynetwork', on: 'vm2' },
        judge: (output, stage) => sees(new RegExp(stage.known['GATEWAY'] ?? ''))(output, stage),
      },
    ],
  },
  {
    id: 'from-the-store',
    title: 'See what vm1 knows without having asked',
    why:
      'Addresses and MAC addresses of the containers are in the store. The agent writes those of other hosts into the FDB and ' +
      'the neighbor table, so the bridge answers ARP itself, and no frame for a known container is flooded.',
    on: 'vm1',
    commands: [
      { line: 'bridge fdb show dev tv-mynetwork', show: inOrder },
      'ip neighbor show to $IP2 dev tb-mynetwork',
    ],
    checks: [
      {
        expected: 'a MAC address of vm2, not learned but written',
        judge: sees(/^[\da-f:]{17} dst 172\.31\.0\.107 self permanent/m),
      },
      {
        expected: 'the address of c2, $IP2, with its MAC address',
        judge: (output, stage) =>
          sees(new RegExp(`^${stage.known['IP2']} lladdr .* PERMANENT`, 'm'))(output, stage),
      },
    ],
  },
  {
    id: 'duplicate',
    title: 'Try to take the address of c2',
    why:
      'Docker allows any address that is chosen by hand. But the network knows its owner: the agent says whose it is, and ' +
      'drops what the new container sends from it. c2 is not disturbed.',
    on: 'vm1',
    commands: [
      { line: 'docker run --detach --name c5 --net mynetwork --ip $IP2 busybox sleep 99999', quiet: true },
      fetch('$IP2'),
      { line: 'docker exec c5 ping -c 1 -W 1 $IP1', mayFail: true },
    ],
    checks: [
      { ...fetched, expected: 'c1 still reaches c2: only that one has the file' },
      { expected: 'c5 reaches nobody', judge: sees(/1 packets transmitted, 0 packets received/) },
      {
        expected: 'the agent names the owner of $IP2',
        command: 'tulle status',
        judge: sees(/which c2 on vm2 has, by c5/),
        within: 30,
      },
    ],
  },
];
