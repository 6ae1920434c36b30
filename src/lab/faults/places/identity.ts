/** Two that are taken for one. */
import type { Fault } from '../fault.ts';
import { host, peer, sysctl, wire } from '../step.ts';

const place = 'identity' as const;
const on = 'host' as const;
const named = (...codes: string[]) => ({ here: codes, there: codes });

export const IDENTITY_FAULTS: readonly Fault[] = [
  {
    name: 'underlay-address-taken',
    place,
    on,
    title: 'another machine has the address of a host',
    story:
      'A printer, or a clone, answers ARP for it. The other hosts send to whoever answered last. By hand: `arping` shows two MAC ' +
      'addresses, `ip neigh` on the peer not the one of the host.',
    effect: 'all',
    plant: ({ host: { address }, peer: other, segment }) => [
      wire(`ip link add clone type veth peer name clone-port`),
      wire(`ip link set dev clone-port master br.${segment} up`),
      wire('ip link set dev clone address 02:00:00:00:66:08'),
      wire(`ip address add ${address}/32 dev clone`),
      sysctl('wire', 'net/ipv4/conf/all/arp_announce', '0'),
      wire('ip link set dev clone up'),
      // As its announcement leaves it.
      peer(`ip neigh replace ${address} lladdr 02:00:00:00:66:08 dev ${other.uplink} nud reachable`),
    ],
    mend: ({ host: { address }, peer: other }) => [
      wire('ip link delete clone'),
      peer(`ip neigh replace ${address} lladdr 02:00:00:00:66:08 dev ${other.uplink} nud reachable`),
      peer(`ip neigh delete ${address} dev ${other.uplink}`),
    ],
    finds: named('DUPLICATE_UNDERLAY_ADDRESS'),
    names: ['host', 'peer'],
  },
  {
    name: 'underlay-mac-taken',
    place,
    on,
    title: 'two hosts have one MAC address',
    story:
      'A virtual machine was cloned with its network card. The switch sends to whoever spoke last. By hand: `ip link show eth0` on both ' +
      'hosts.',
    effect: 'all',
    plant: ({ host: { uplink }, peer: { uplinkMac } }) => [
      host(`ip link set dev ${uplink} address ${uplinkMac}`),
    ],
    mend: ({ host: { uplink, uplinkMac, address }, peer: other }) => [
      host(`ip link set dev ${uplink} address ${uplinkMac}`),
      peer(`ip neigh flush dev ${other.uplink} to ${address}`),
    ],
    finds: {
      here: ['DUPLICATE_MAC', 'DUPLICATE_UNDERLAY_MAC'],
      there: ['DUPLICATE_MAC', 'DUPLICATE_UNDERLAY_MAC', 'UNDERLAY_SILENT'],
    },
    names: ['host', 'peer'],
  },
];
