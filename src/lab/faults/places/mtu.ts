/** Sizes: what is lost only when it is large. */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { container, host, kill, peerContainer, restart } from '../step.ts';
import { addRule, dropTable, ruleFault } from './rules.ts';

const place = 'mtu' as const;

/** What the senders have learned of the way, which they would remember for ten minutes. */
const FORGET = [container('ip route flush cache'), peerContainer('ip route flush cache')];

export const MTU_FAULTS: readonly Fault[] = [
  {
    name: 'container-mtu-small',
    place,
    on: 'container',
    title: "a container's link takes less than the others send",
    story:
      'MTU 1000 inside, 1450 on the host: the veth pair drops larger frames without a word. Connections are made and hang. By ' +
      'hand: `ip link` on both ends.',
    effect: 'large',
    plant: () => [container('ip link set dev eth0 mtu 1000')],
    mend: ({ mtu }) => [container(`ip link set dev eth0 mtu ${mtu}`)],
    finds: { here: ['CONTAINER_MTU'], there: ['CONTAINER_MTU'] },
  },
  {
    name: 'container-mtu-large',
    place,
    on: 'container',
    title: 'a container sends more than its link to the host takes',
    story:
      'The image sets MTU 1500 on eth0. What the container sends in full size disappears between the two ends of its veth pair. By ' +
      'hand: `ip link` in the container and on the host.',
    effect: 'large',
    plant: () => [container('ip link set dev eth0 mtu 1500')],
    mend: ({ mtu }) => [container(`ip link set dev eth0 mtu ${mtu}`)],
    finds: { here: ['CONTAINER_MTU'], there: ['CONTAINER_MTU'] },
  },
  {
    name: 'bridge-mtu-small',
    place,
    on: 'host',
    title: 'the bridge takes less than the tunnel carries',
    story:
      'MTU 900 on docker0: what arrives is fragmented, or answered with "Frag needed" where it may not be. By hand: `ip link show ' +
      'docker0` beside flannel.88.',
    effect: 'large',
    plant: ({ host: { bridge } }) => [host(`ip link set dev ${bridge} mtu 900`)],
    mend: ({ host: { bridge }, mtu }) => [host(`ip link set dev ${bridge} mtu ${mtu}`), ...FORGET],
    finds: { here: ['BRIDGE_MTU'], there: ['BRIDGE_MTU'] },
  },
  {
    name: 'pmtu-black-hole',
    place,
    on: 'host',
    title: 'containers send too much, and nobody may tell them',
    story:
      'All links of the containers have MTU 1500, the tunnel 1450, and the firewall drops the ICMP messages that would say so: the ' +
      'classic black hole. By hand: `ping -M do -s 1472` from a container is silent.',
    effect: 'large',
    plant: ({ host: { bridge, container: first } }) => [
      host(`ip link set dev ${first.hostLink} mtu 1500`),
      host(`ip link set dev ${bridge} mtu 1500`),
      container('ip link set dev eth0 mtu 1500'),
      addRule(
        'host',
        { family: 'ip', table: 'silence', hook: 'output priority filter' },
        'icmp type destination-unreachable counter drop',
      ),
    ],
    mend: ({ host: { bridge, container: first }, mtu }) => [
      dropTable('host', { family: 'ip', table: 'silence' }),
      container(`ip link set dev eth0 mtu ${mtu}`),
      host(`ip link set dev ${first.hostLink} mtu ${mtu}`),
      host(`ip link set dev ${bridge} mtu ${mtu}`),
      ...FORGET,
    ],
    finds: {
      here: ['CONTAINER_MTU', 'BRIDGE_MTU', 'FIREWALL_DROP'],
      there: ['CONTAINER_MTU', 'BRIDGE_MTU', 'FIREWALL_DROP'],
    },
  },
  {
    name: 'uplink-mtu',
    place,
    on: 'host',
    title: 'the link to the other hosts got a smaller MTU',
    story:
      'The provider moved the machine to a network with MTU 1280. The agent follows with the tunnel, and the containers still have ' +
      'the former size until they are made anew. By hand: `ip link show eth0`.',
    effect: 'large',
    plant: ({ host: { uplink } }) => [host(`ip link set dev ${uplink} mtu 1280`)],
    mend: ({ host: { uplink } }) => [host(`ip link set dev ${uplink} mtu 1500`), ...FORGET],
    finds: {
      here: ['CONTAINER_MTU', 'BRIDGE_MTU', 'UNDERLAY_SIZE'],
      there: ['CONTAINER_MTU', 'BRIDGE_MTU', 'UNDERLAY_SIZE', 'PATH_MTU_BLACK_HOLE'],
    },
  },
  {
    name: 'tunnel-mtu',
    place,
    on: 'host',
    title: 'the tunnel has a small MTU, and the agent is dead',
    story: 'Somebody set it by hand, and no agent corrects it. By hand: `ip link show flannel.88`.',
    effect: 'large',
    plant: ({ host: { tunnel } }) => [kill('agent'), host(`ip link set dev ${tunnel} mtu 1000`)],
    mend: ({ host: { tunnel }, mtu }) => [
      host(`ip link set dev ${tunnel} mtu ${mtu}`),
      restart('agent'),
      ...FORGET,
    ],
    finds: {
      here: ['TUNNEL_MTU'],
      there: ['TUNNEL_MTU', 'PATH_MTU', 'PATH_MTU_BLACK_HOLE', 'PACKET_LOST', 'AGENT_DOWN'],
    },
  },
  {
    name: 'nft-size',
    place,
    on: 'host',
    title: 'large packets of the other host are dropped as they arrive',
    story:
      'A filter at ingress of the link, against floods with large packets. Connections are made, and hang when they carry something. ' +
      'By hand: `ping -M do -s 1400` fails where `ping -s 1000` works, and `nft list ruleset netdev` has the rule.',
    effect: 'large',
    ...ruleFault<Scene>(
      'host',
      ({ host: { uplink } }) => ({
        family: 'netdev',
        table: 'sizes',
        hook: `ingress device "${uplink}" priority 0`,
      }),
      ({ peer: { address } }) => `ip saddr ${address} meta length > 1300 counter drop`,
    ),
    finds: { here: ['FIREWALL_DROP'], there: ['FIREWALL_DROP'] },
  },
];
