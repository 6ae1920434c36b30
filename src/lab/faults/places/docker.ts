/** Faults of a real dockerd. */
import type { Fault } from '../fault.ts';
import { dockerd, host, kill } from '../step.ts';

const place = 'docker' as const;
const docker = true as const;
const named = (...codes: string[]) => ({ here: codes, there: codes });

export const DOCKER_FAULTS: readonly Fault[] = [
  {
    name: 'docker-default-subnet',
    place,
    on: 'host',
    docker,
    title: 'dockerd was restarted without the subnet of the lease',
    story:
      "The drop-in with `--bip` was lost in an update. Docker's bridge has 172.17.0.1/16 again, and so have the containers: each host the " +
      'same. By hand: `ip address show docker0` beside /run/flannel/subnet.env.',
    effect: 'all',
    plant: () => [dockerd({ leased: false, config: { bip: '172.17.0.1/16' } })],
    mend: () => [dockerd()],
    finds: {
      here: ['DOCKER_SUBNET', 'BRIDGE_NO_ADDRESS', 'FORMER_SUBNET'],
      there: ['DOCKER_SUBNET', 'BRIDGE_NO_ADDRESS', 'FORMER_SUBNET'],
    },
  },
  {
    name: 'docker-user',
    place,
    on: 'host',
    docker,
    title: 'a rule in DOCKER-USER drops what is not from the uplink',
    story:
      'The chain is made for rules of the administrator, and copied from a forum they drop more than was meant. By hand: `iptables ' +
      '-L DOCKER-USER -v`.',
    effect: 'all',
    plant: ({ host: { tunnel, bridge } }) => [
      host(`iptables -I DOCKER-USER -i ${bridge} -o ${tunnel} -j DROP`),
      host(`iptables -t mangle -I FORWARD -i ${tunnel} -o ${bridge} -j DROP`),
    ],
    mend: ({ host: { tunnel, bridge } }) => [
      host(`iptables -D DOCKER-USER -i ${bridge} -o ${tunnel} -j DROP`),
      host(`iptables -t mangle -D FORWARD -i ${tunnel} -o ${bridge} -j DROP`),
    ],
    finds: named('FIREWALL_DROP'),
  },
  {
    name: 'docker-disconnected',
    place,
    on: 'container',
    docker,
    title: 'a container was taken off its network',
    story:
      '`docker network disconnect` during maintenance, and nobody connected it again. It runs, and has only lo. By hand: `docker ' +
      'inspect` shows no network.',
    effect: 'all',
    plant: ({ container: { name } }) => [host(`docker network disconnect bridge ${name}`)],
    mend: ({ container: { name } }) => [host(`docker network connect bridge ${name}`)],
    finds: {
      here: ['CONTAINER_NO_ADDRESS', 'CONTAINER_NO_NETWORK'],
      there: ['CONTAINER_NO_ADDRESS', 'CONTAINER_NO_NETWORK'],
    },
  },
  {
    name: 'docker-overlapping-network',
    place,
    on: 'host',
    docker,
    title: "a Docker network has the addresses of a peer's containers",
    story:
      'A compose file names a subnet that another host has leased. The route of the new bridge is more specific. By hand: `docker ' +
      'network inspect`, `ip route get CONTAINER`.',
    effect: 'all',
    plant: ({ peer: { halves } }) => [host(`docker network create --subnet ${halves[0]} compose_default`)],
    mend: () => [host('docker network rm compose_default')],
    finds: named('ROUTE_CAPTURES', 'DOCKER_SUBNET'),
  },
  {
    name: 'docker-killed',
    place,
    on: 'host',
    docker,
    title: 'dockerd is dead, and its containers live on',
    story:
      'Nothing is lost yet: no container can be started or stopped. By hand: `docker ps` does not connect.',
    effect: 'later',
    plant: () => [kill('dockerd')],
    mend: () => [dockerd()],
    finds: named('DOCKER_STOPPED'),
  },
];
