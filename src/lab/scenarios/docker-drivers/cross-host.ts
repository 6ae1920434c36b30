/** Networks that reach over several hosts: Tulle's, and Docker's own overlay. */
import { answered, sees } from '../../scenario/judges.ts';
import type { ScenarioStep } from '../../scenario/scenario.ts';
import { inOrder } from '../../scenario/shown.ts';
import { findSandbox, runContainer } from './run-container.ts';

const HOSTS = ['docker1', 'docker2'] as const;

export const CROSS_HOST_STEPS: readonly ScenarioStep[] = [
  {
    id: 'tulle',
    title: "The bridge again: Tulle joins the hosts' bridges",
    why:
      'docker0 has the subnet that the agent of this host has leased, so the container has an address that is unique among ' +
      'all hosts. For Docker it is an ordinary bridge; what leaves it goes by a route over flannel.88. The TTL of 62 shows ' +
      'two routers.',
    on: 'docker1',
    commands: [
      {
        line: 'docker exec peer ip -4 address show dev eth0',
        on: 'docker2',
        remember: { PEER: /inet ([\d.]+)/ },
      },
      'docker exec bridge ping -c 1 -W 2 $PEER',
      'ip route get $PEER',
    ],
    checks: [
      { expected: 'a container of docker2 answers', judge: answered },
      { expected: 'over two routers', judge: sees(/ttl=62/) },
      {
        expected: 'by a route over flannel.88',
        judge: sees(/dev flannel\.88/),
      },
    ],
  },
  {
    id: 'swarm',
    title: 'overlay: let the Dockers know of each other',
    why:
      "Docker's own network over several hosts needs a cluster: one manager keeps the list of networks and addresses, and the " +
      'others join it with its token.',
    on: 'docker1',
    commands: [
      { line: 'docker swarm init --advertise-addr 192.168.65.3', quiet: true },
      { line: 'docker swarm join-token --quiet worker', remember: { TOKEN: /(SWMTKN\S+)/ } },
      { line: 'docker swarm join --token $TOKEN 192.168.65.3:2377', on: 'docker2' },
      {
        line: 'docker network create --driver overlay --attachable cross',
        remember: { CROSS: /^(\w{10})/ },
      },
    ],
    checks: [
      {
        expected: 'the network is of the whole swarm',
        command: 'docker network ls --filter name=cross',
        judge: sees(/cross +overlay +swarm/),
      },
    ],
  },
  {
    id: 'overlay',
    title: 'overlay: one Ethernet over both hosts',
    why:
      'The container has two endpoints: eth0 on the overlay, and eth1 on docker_gwbridge for the way out. Docker hides bridge ' +
      'and vxlan link of the overlay in a namespace of their own (1- and the first ten characters of the id of the network), ' +
      'and writes each container into its neighbor table and FDB: the vxlan link answers ARP itself (proxy). The TTL is 64: ' +
      'no router.',
    on: 'docker1',
    commands: [
      runContainer('cross', 'cross'),
      findSandbox('cross', 'CROSSBOX'),
      runContainer('cross2', 'cross', 'docker2'),
      'docker exec cross ip -4 address',
      // Its name is on its way from one Docker to the other.
      {
        line: "docker exec cross sh -c 'until ping -c 1 -W 1 cross2; do sleep 0.2; done'",
        quiet: true,
      },
      'docker exec cross ping -c 1 -W 2 cross2',
      {
        line: 'nsenter --net=/run/docker/netns/1-$CROSS ip -d link show type vxlan',
        show: output => /vxlan id .*?(?= ttl)/.exec(output)?.[0] ?? '',
      },
      { line: 'nsenter --net=/run/docker/netns/1-$CROSS ip neighbor', show: inOrder },
    ],
    checks: [
      { expected: 'the container of docker2 answers to its name', judge: answered },
      { expected: 'no router is on the way', judge: sees(/ttl=64/) },
      { expected: 'a vxlan link carries it', judge: sees(/vxlan id \d+ .*dstport 4789/) },
    ],
    key: true,
  },
  {
    id: 'blue',
    title: "bridge on an L2 network of Tulle: the hosts' bridges are one",
    why:
      'For Docker this is one more bridge network, and nothing else is needed: no swarm, no second endpoint. Tulle has made its ' +
      'bridge, on both hosts, with a vxlan link as a port, and has given each Docker a range of the addresses.',
    on: 'docker1',
    commands: [
      'tulle network create blue --subnet 172.30.0.0/16 --docker',
      // Both Dockers have it a moment later.
      ...HOSTS.map(on => ({
        line: "sh -c 'until docker network inspect blue; do sleep 0.2; done'",
        on,
        quiet: true as const,
      })),
      runContainer('blue', 'blue'),
      findSandbox('blue', 'BLUE'),
      runContainer('blue2', 'blue', 'docker2'),
      {
        line: "docker inspect --format '{{.NetworkSettings.Networks.blue.IPAddress}}' blue2",
        on: 'docker2',
        remember: { BLUE2: /^(\d[\d.]+)$/m },
      },
      'docker exec blue ping -c 1 -W 2 $BLUE2',
      { line: 'ip -brief link show master tb-blue', show: inOrder },
    ],
    checks: [
      { expected: 'a container of docker2 answers', judge: answered },
      { expected: 'no router is on the way', judge: sees(/ttl=64/) },
      { expected: 'a vxlan link is a port of the bridge', judge: sees(/^tv-blue /m) },
    ],
  },
  {
    id: 'plugin',
    title: 'tulle: a driver of its own, over all hosts',
    why:
      'The agent is also a driver of Docker and a keeper of addresses (IPAM). Each host makes the network by its name, and it is ' +
      'one: one subnet, and addresses from a range of each host. Docker asks the agent for an address and for a link, and moves ' +
      'that into the sandbox. Its name server knows the containers of its own host; what it does not know it asks the agent ' +
      '(169.254.53.53 in daemon.json), who knows those of all hosts.',
    on: 'docker1',
    commands: [
      ...HOSTS.map(on => ({
        line: 'docker network create --driver tulle --ipam-driver tulle green',
        on,
        quiet: true as const,
      })),
      runContainer('green', 'green'),
      findSandbox('green', 'GREEN'),
      runContainer('green2', 'green', 'docker2'),
      'docker exec green ip -4 address show dev eth0',
      'docker exec green ip route',
      // Its name is on its way from one host to the other.
      {
        line: "docker exec green sh -c 'until ping -c 1 -W 1 green2; do sleep 0.2; done'",
        quiet: true,
      },
      'docker exec green ping -c 1 -W 2 green2',
      { line: 'ip -brief link show master tb-green', show: inOrder },
    ],
    checks: [
      { expected: 'the container of docker2 answers to its name', judge: answered },
      { expected: 'no router is on the way', judge: sees(/ttl=64/) },
      { expected: 'the gateway is the bridge', judge: sees(/^default via 10\.\d+\.0\.1 dev eth0/m) },
      { expected: 'a vxlan link is a port of the bridge', judge: sees(/^tv-green /m) },
    ],
    key: true,
  },
];
