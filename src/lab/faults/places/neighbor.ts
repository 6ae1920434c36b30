/** Faults of ARP: who has an address, and who is believed to. */
import type { Fault } from '../fault.ts';
import { host, peer } from '../step.ts';

const place = 'neighbor' as const;
const on = 'host' as const;

export const NEIGHBOR_FAULTS: readonly Fault[] = [
  {
    name: 'container-neighbor-pinned',
    place,
    on: 'container',
    title: 'the host has a wrong MAC address for a container',
    story:
      'A permanent neighbor entry from a former container with this address. Frames go to a MAC address that nobody has. By ' +
      'hand: `ip neigh show dev docker0` says PERMANENT.',
    effect: 'all',
    plant: ({ host: { bridge }, container: { ip } }) => [
      host(`ip neigh replace ${ip} lladdr 02:00:00:00:66:02 dev ${bridge} nud permanent`),
    ],
    mend: ({ host: { bridge }, container: { ip } }) => [host(`ip neigh delete ${ip} dev ${bridge}`)],
    finds: { here: ['CONTAINER_NEIGHBOR'], there: ['CONTAINER_NEIGHBOR'] },
  },
  {
    name: 'underlay-neighbor-pinned',
    place,
    on,
    title: 'the host has a wrong MAC address for another host',
    story:
      'A permanent entry that was right until the other host got a new network card. The store and everybody else are reached. ' +
      'By hand: `ip neigh show dev eth0` says PERMANENT.',
    effect: 'all',
    plant: ({ host: { uplink }, peer: { address } }) => [
      host(`ip neigh replace ${address} lladdr 02:00:00:00:66:03 dev ${uplink} nud permanent`),
    ],
    mend: ({ host: { uplink }, peer: { address } }) => [host(`ip neigh delete ${address} dev ${uplink}`)],
    finds: { here: ['UNDERLAY_NEIGHBOR'], there: ['UNDERLAY_NEIGHBOR'] },
  },
  {
    name: 'bridge-arp-off',
    place,
    on,
    title: 'the bridge speaks no ARP',
    story:
      'NOARP on the bridge: the host neither asks for containers nor answers for the gateway. By hand: `ip link show docker0` ' +
      'has NOARP among the flags.',
    effect: 'all',
    plant: ({ host: { bridge } }) => [
      host(`ip link set dev ${bridge} arp off`),
      host(`ip neigh flush dev ${bridge}`),
    ],
    mend: ({ host: { bridge } }) => [
      host(`ip link set dev ${bridge} arp on`),
      host(`ip neigh flush dev ${bridge} nud all`),
    ],
    finds: { here: ['ARP_OFF'], there: ['ARP_OFF'] },
  },
  {
    name: 'uplink-arp-off',
    place,
    on,
    title: 'the link to the other hosts speaks no ARP',
    story: 'NOARP on the uplink: nobody on the wire finds the host any more. By hand: `ip link show eth0`.',
    effect: 'all',
    plant: ({ host: { uplink, address }, peer: other }) => [
      host(`ip link set dev ${uplink} arp off`),
      peer(`ip neigh flush dev ${other.uplink} to ${address}`),
    ],
    mend: ({ host: { uplink, address }, peer: other }) => [
      host(`ip link set dev ${uplink} arp on`),
      host(`ip neigh flush dev ${uplink} nud all`),
      peer(`ip neigh flush dev ${other.uplink} to ${address}`),
    ],
    finds: { here: ['ARP_OFF'], there: ['ARP_OFF', 'UNDERLAY_SILENT'] },
  },
];
