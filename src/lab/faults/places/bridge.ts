/** Faults at the bridge that containers are plugged into. */
import type { Fault } from '../fault.ts';
import { host, sysctl } from '../step.ts';

const place = 'bridge' as const;

export const BRIDGE_FAULTS: readonly Fault[] = [
  {
    name: 'bridge-down',
    place,
    on: 'host',
    title: 'the bridge of the containers is down',
    story:
      'The route to the containers disappears with it, and what arrives for them goes nowhere. By hand: `ip link show docker0`.',
    effect: 'all',
    plant: ({ host: { bridge } }) => [host(`ip link set dev ${bridge} down`)],
    mend: ({ host: { bridge } }) => [host(`ip link set dev ${bridge} up`)],
    finds: { here: ['BRIDGE_DOWN'], there: ['BRIDGE_DOWN'] },
  },
  {
    name: 'bridge-no-address',
    place,
    on: 'host',
    title: 'the bridge has lost its address',
    story:
      'A network manager took the bridge for its own and removed what it did not put there. The containers have no gateway, and the ' +
      'host no route to them. By hand: `ip address show docker0`.',
    effect: 'all',
    plant: ({ host: { bridge } }) => [host(`ip address flush dev ${bridge}`)],
    mend: ({ host: { bridge, gateway, subnetLength } }) => [
      host(`ip address replace ${gateway}/${subnetLength} dev ${bridge}`),
    ],
    finds: { here: ['BRIDGE_NO_ADDRESS'], there: ['BRIDGE_NO_ADDRESS'] },
  },
  {
    name: 'bridge-former-address',
    place,
    on: 'host',
    title: 'the bridge has the address of a former subnet',
    story:
      'The host leased another subnet, and the bridge was not made anew. By hand: `ip address show docker0` beside ' +
      '/run/flannel/subnet.env.',
    effect: 'all',
    plant: ({ host: { bridge } }) => [
      host(`ip address flush dev ${bridge}`),
      host(`ip address add 10.99.7.1/24 dev ${bridge}`),
    ],
    mend: ({ host: { bridge, gateway, subnetLength } }) => [
      host(`ip address flush dev ${bridge}`),
      host(`ip address add ${gateway}/${subnetLength} dev ${bridge}`),
    ],
    finds: { here: ['BRIDGE_NO_ADDRESS', 'FORMER_SUBNET'], there: ['BRIDGE_NO_ADDRESS', 'FORMER_SUBNET'] },
  },
  {
    name: 'port-detached',
    place,
    on: 'container',
    title: "a container's link is not plugged into the bridge",
    story:
      'The host side of the veth pair lost its bridge, as after a restart of the network service. By hand: `ip link show master ' +
      'docker0` does not list it.',
    effect: 'all',
    plant: ({ container: { hostLink } }) => [host(`ip link set dev ${hostLink} nomaster`)],
    mend: ({ container: { hostLink }, host: { bridge } }) => [
      host(`ip link set dev ${hostLink} master ${bridge}`),
    ],
    finds: { here: ['BRIDGE_PORT_DETACHED'], there: ['BRIDGE_PORT_DETACHED'] },
  },
  {
    name: 'port-down',
    place,
    on: 'container',
    title: "the host's end of a container's link is down",
    story:
      'The container sees its link without carrier. By hand: `ip link` on the host, and NO-CARRIER in the container.',
    effect: 'all',
    plant: ({ container: { hostLink } }) => [host(`ip link set dev ${hostLink} down`)],
    mend: ({ container: { hostLink } }) => [host(`ip link set dev ${hostLink} up`)],
    finds: { here: ['BRIDGE_PORT_DOWN'], there: ['BRIDGE_PORT_DOWN'] },
  },
  {
    name: 'port-blocking',
    place,
    on: 'container',
    title: 'the bridge does not forward at a port',
    story:
      'A port in state disabled or blocking: a spanning tree daemon that died, or a forward delay of 15 s after each link up. ' +
      'By hand: `bridge link` says state disabled.',
    effect: 'all',
    plant: ({ container: { hostLink } }) => [host(`bridge link set dev ${hostLink} state 0`)],
    mend: ({ container: { hostLink } }) => [host(`bridge link set dev ${hostLink} state 3`)],
    finds: { here: ['BRIDGE_PORT_NOT_FORWARDING'], there: ['BRIDGE_PORT_NOT_FORWARDING'] },
  },
  {
    name: 'bridge-stp',
    place,
    on: 'host',
    title: 'spanning tree keeps new ports waiting',
    story:
      'STP with a forward delay: each container that starts waits twice that time, and every health check fails meanwhile. By ' +
      'hand: `bridge link` says listening, then learning.',
    effect: 'all',
    plant: ({ host: { bridge, container } }) => [
      host(`ip link set dev ${bridge} type bridge forward_delay 3000 stp_state 1`),
      host(`ip link set dev ${container.hostLink} down`),
      host(`ip link set dev ${container.hostLink} up`),
    ],
    mend: ({ host: { bridge, container } }) => [
      host(`ip link set dev ${bridge} type bridge stp_state 0`),
      host(`ip link set dev ${container.hostLink} down`),
      host(`ip link set dev ${container.hostLink} up`),
    ],
    finds: { here: ['BRIDGE_PORT_NOT_FORWARDING'], there: ['BRIDGE_PORT_NOT_FORWARDING'] },
  },
  {
    name: 'ports-isolated',
    place,
    on: 'host',
    sibling: true,
    title: 'the ports of two containers are isolated from each other',
    story:
      'Isolation was meant for guests. Each container reaches the world and all other hosts, and not the one beside it. ' +
      'By hand: `bridge -d link` says isolated on.',
    effect: 'siblings',
    plant: ({ container, sibling }) => [
      host(`bridge link set dev ${container.hostLink} isolated on`),
      host(`bridge link set dev ${sibling.hostLink} isolated on`),
    ],
    mend: ({ container, sibling }) => [
      host(`bridge link set dev ${container.hostLink} isolated off`),
      host(`bridge link set dev ${sibling.hostLink} isolated off`),
    ],
    finds: { here: ['BRIDGE_PORT_ISOLATED'], there: ['BRIDGE_PORT_ISOLATED'] },
  },
  {
    name: 'fdb-pinned',
    place,
    on: 'container',
    sibling: true,
    title: "a container's MAC address is pinned to another port",
    story:
      'A static forwarding entry from the time when the container had another port: its frames go to a neighbor who ' +
      'drops them. By hand: `bridge fdb show br docker0`.',
    effect: 'all',
    plant: ({ container: { mac }, sibling }) => [
      host(`bridge fdb replace ${mac} dev ${sibling.hostLink} master static sticky`),
    ],
    mend: ({ container: { mac }, sibling }) => [
      host(`bridge fdb delete ${mac} dev ${sibling.hostLink} master`),
    ],
    finds: { here: ['BRIDGE_FDB'], there: ['BRIDGE_FDB'] },
  },
  {
    name: 'bridge-fdb-flushed',
    place,
    on: 'host',
    title: 'the bridge has lost the entry of its own MAC address',
    story:
      'Somebody emptied the forwarding table (`bridge fdb flush dev docker0`), which takes the permanent entries too. Containers still ' +
      'reach each other, and no gateway: the bridge passes frames for itself on to its ports. By hand: `bridge fdb show br docker0` ' +
      'does not have the address that `ip link show docker0` prints.',
    effect: 'all',
    plant: ({ host: { bridge, bridgeMac } }) => [host(`bridge fdb delete ${bridgeMac} dev ${bridge} self`)],
    mend: ({ host: { bridge, bridgeMac } }) => [
      host(`bridge fdb replace ${bridgeMac} dev ${bridge} self local`),
    ],
    finds: { here: ['BRIDGE_FDB'], there: ['BRIDGE_FDB'] },
  },
  {
    name: 'port-no-flood',
    place,
    on: 'container',
    title: 'the bridge neither learns nor floods at a port',
    story:
      'Flooding was switched off against unknown MAC addresses, learning with it: the bridge knows no way to the container. ' +
      'By hand: `bridge -d link` says learning off flood off.',
    effect: 'all',
    plant: ({ container: { hostLink, mac } }) => [
      host(`bridge link set dev ${hostLink} learning off flood off mcast_flood off bcast_flood off`),
      host(`bridge fdb delete ${mac} dev ${hostLink} master`),
    ],
    mend: ({ container: { hostLink } }) => [
      host(`bridge link set dev ${hostLink} learning on flood on mcast_flood on bcast_flood on`),
    ],
    finds: { here: ['BRIDGE_FDB', 'BRIDGE_PORT_FLOOD'], there: ['BRIDGE_FDB', 'BRIDGE_PORT_FLOOD'] },
  },
  {
    name: 'bridge-nf-call',
    place,
    on: 'host',
    sibling: true,
    title: 'frames between containers pass the firewall for routed packets',
    story:
      'br_netfilter hands bridged frames to iptables, and a rule that was meant for routed packets drops them. Other hosts are ' +
      'reached. By hand: `sysctl net.bridge.bridge-nf-call-iptables`.',
    effect: 'siblings',
    kernel: { what: 'br_netfilter', attempt: ['test', '-e', '/proc/sys/net/bridge/bridge-nf-call-iptables'] },
    plant: ({ host: { bridge } }) => [
      sysctl('host', 'net/bridge/bridge-nf-call-iptables', '1'),
      host(`iptables -t mangle -I FORWARD -i ${bridge} -o ${bridge} -j DROP`),
    ],
    mend: ({ host: { bridge } }) => [host(`iptables -t mangle -D FORWARD -i ${bridge} -o ${bridge} -j DROP`)],
    finds: { here: ['BRIDGE_NF_CALL', 'FIREWALL_DROP'], there: ['BRIDGE_NF_CALL', 'FIREWALL_DROP'] },
  },
];
