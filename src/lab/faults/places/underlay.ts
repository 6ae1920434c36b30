/** Faults between the hosts: links, cables, switches, and what they let through. */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { type FaultStep, host, peer, wire } from '../step.ts';
import { addRule, dropTable } from './rules.ts';

const place = 'underlay' as const;
const on = 'host' as const;

/** Either end of a wire may be named as the place. */
const names = ['host', 'peer'] as const;
const named = (...codes: string[]) => ({ here: codes, there: codes });

/** A rule of the switch. Of each host of the lab it has a port with the host's name. */
const switchRule = (table: string, rule: (scene: Scene) => string) => ({
  plant: (scene: Scene): readonly FaultStep[] => [
    addRule('wire', { family: 'bridge', table, hook: 'forward priority 0' }, rule(scene)),
  ],
  mend: (): readonly FaultStep[] => [dropTable('wire', { family: 'bridge', table })],
});

export const UNDERLAY_FAULTS: readonly Fault[] = [
  {
    name: 'uplink-down',
    place,
    on,
    title: 'the link to the other hosts is down',
    story: '`ip link set eth0 down`, or a driver that gave up. By hand: `ip link show eth0`.',
    effect: 'all',
    plant: ({ host: { uplink } }) => [host(`ip link set dev ${uplink} down`)],
    mend: ({ host: { uplink } }) => [host(`ip link set dev ${uplink} up`)],
    finds: { here: ['UNDERLAY_LINK_DOWN'], there: ['UNDERLAY_LINK_DOWN', 'UNDERLAY_SILENT'] },
  },
  {
    name: 'cable-pulled',
    place,
    on,
    title: 'the cable is pulled',
    story: 'The link is up and has no carrier. By hand: `ip link show eth0` says NO-CARRIER.',
    effect: 'all',
    plant: ({ host: { port } }) => [wire(`ip link set dev ${port} down`)],
    mend: ({ host: { port } }) => [wire(`ip link set dev ${port} up`)],
    finds: { here: ['NO_CARRIER'], there: ['NO_CARRIER', 'UNDERLAY_SILENT'] },
  },
  {
    name: 'uplink-no-address',
    place,
    on,
    title: 'the host has lost its address',
    story: 'A DHCP lease that was not renewed. By hand: `ip address show eth0`.',
    effect: 'all',
    plant: ({ host: { uplink } }) => [host(`ip -4 address flush dev ${uplink}`)],
    mend: ({ host: { uplink, address, length } }) => [
      host(`ip address replace ${address}/${length} dev ${uplink}`),
    ],
    finds: { here: ['UNDERLAY_NO_ADDRESS'], there: ['UNDERLAY_NO_ADDRESS', 'UNDERLAY_SILENT'] },
  },
  {
    name: 'uplink-netmask',
    place,
    on,
    title: 'the address of the host has a wrong length',
    story:
      'A /32 without a route: the host has its address and no way to anybody. By hand: `ip route get PEER_ADDRESS` says Network is ' +
      'unreachable.',
    effect: 'all',
    plant: ({ host: { uplink, address, length } }) => [
      host(`ip address add ${address}/32 dev ${uplink}`),
      host(`ip address delete ${address}/${length} dev ${uplink}`),
    ],
    mend: ({ host: { uplink, address, length } }) => [
      host(`ip address add ${address}/${length} dev ${uplink}`),
      host(`ip address delete ${address}/32 dev ${uplink}`),
    ],
    finds: { here: ['UNDERLAY_ROUTE'], there: ['UNDERLAY_ROUTE', 'UNDERLAY_SILENT'] },
  },
  {
    name: 'wrong-vlan',
    place,
    on,
    title: 'the port of the switch is in another VLAN',
    story:
      'The link has carrier, and nobody is there. By hand: `ip neigh` says FAILED for everybody, and `tcpdump -i eth0` sees no ' +
      'others.',
    effect: 'all',
    plant: ({ host: { port } }) => [wire(`ip link set dev ${port} nomaster`)],
    mend: ({ host: { port }, segment }) => [wire(`ip link set dev ${port} master br.${segment}`)],
    finds: named('UNDERLAY_SILENT', 'NO_PEER_ANSWERS'),
    names,
  },
  {
    name: 'one-way-out',
    place,
    on,
    title: 'what the host sends does not arrive',
    story:
      'One strand of a fibre, or a switch rule for one direction. ARP still works. By hand: `tcpdump` on both hosts at once: one sees ' +
      'the packet leave, the other does not see it come.',
    effect: 'all',
    ...switchRule('outward', ({ host: { port } }) => `iifname "${port}" ether type ip counter drop`),
    finds: named('UNDERLAY_ONE_WAY', 'UNDERLAY_SILENT', 'NO_PEER_ANSWERS'),
    names,
  },
  {
    name: 'one-way-in',
    place,
    on,
    title: 'what is sent to the host does not arrive',
    story: 'The other strand. By hand: as before, with the roles exchanged.',
    effect: 'all',
    ...switchRule('inward', ({ host: { port } }) => `oifname "${port}" ether type ip counter drop`),
    finds: named('UNDERLAY_ONE_WAY', 'UNDERLAY_SILENT', 'NO_PEER_ANSWERS'),
    names,
  },
  {
    name: 'udp-blocked',
    place,
    on,
    title: 'a firewall between the hosts blocks UDP',
    story:
      'Security groups of a cloud: ping and TCP are allowed, UDP is not. Both hosts and the store see each other. By hand: ' +
      '`tcpdump -i eth0 udp` on both sides.',
    effect: 'all',
    ...switchRule('groups', ({ host: { port } }) => `oifname "${port}" ip protocol udp counter drop`),
    finds: named('UNDERLAY_UDP_BLOCKED'),
    names,
  },
  {
    name: 'vxlan-blocked-out',
    place,
    on,
    title: "a firewall on the way blocks the tunnel's port, one way",
    story:
      'As before, for the port of VXLAN only and what this host sends: the others arrive here, and no answer reaches them. By hand: ' +
      '`tcpdump -i eth0 udp port 4789` on both sides.',
    effect: 'all',
    ...switchRule(
      'vxlan',
      ({ host: { port }, port: udp }) => `iifname "${port}" udp dport ${udp} counter drop`,
    ),
    finds: named('UNDERLAY_UDP_BLOCKED'),
    names,
  },
  {
    name: 'lossy-wire',
    place,
    on,
    title: 'the wire loses a third of all packets',
    story:
      'A bad cable or duplex mismatch. Everything works, slowly. By hand: `ping -c 100` between the hosts.',
    effect: 'some',
    ...switchRule(
      'noise',
      ({ host: { port } }) => `oifname "${port}" ether type ip numgen random mod 3 0 counter drop`,
    ),
    finds: named('UNDERLAY_LOSS'),
    names,
  },
  {
    name: 'small-path',
    place,
    on,
    title: 'the way between the hosts takes smaller packets than its ends',
    story:
      'A switch or tunnel of the provider with MTU 1400 that drops what is larger, silently. By hand: `ping -M do -s 1472 ' +
      'PEER_ADDRESS` is not answered, `-s 1300` is.',
    effect: 'large',
    ...switchRule(
      'sizes',
      ({ host: { port } }) => `oifname "${port}" ether type ip meta length > 1414 counter drop`,
    ),
    finds: named('UNDERLAY_SIZE', 'PATH_MTU_BLACK_HOLE', 'PATH_MTU'),
    names,
  },
  {
    name: 'icmp-blocked',
    place,
    on,
    title: 'ping is blocked between the hosts, and all else works',
    story:
      'A firewall that takes ICMP for dangerous. Containers talk. Whoever pings the host first is led astray.',
    effect: 'later',
    ...switchRule('echo', ({ host: { port } }) => `oifname "${port}" ip protocol icmp counter drop`),
    finds: { here: [], there: [] },
  },
  {
    name: 'arp-blocked',
    place,
    on,
    title: 'the switch loses ARP',
    story:
      'ARP suppression with an empty table, or a guard that knows no such port. While entries are fresh all is well. By hand: ' +
      '`ip neigh` says FAILED, and `tcpdump arp` sees questions without answers.',
    effect: 'all',
    plant: scene => [
      ...switchRule(
        'suppress',
        ({ host: { port } }) => `iifname "${port}" ether type arp counter drop`,
      ).plant(scene),
      host(`ip neigh flush dev ${scene.host.uplink} to ${scene.peer.address}`),
      peer(`ip neigh flush dev ${scene.peer.uplink} to ${scene.host.address}`),
    ],
    mend: () => [dropTable('wire', { family: 'bridge', table: 'suppress' })],
    finds: named('UNDERLAY_SILENT', 'UNDERLAY_ARP', 'UNDERLAY_NEIGHBOR'),
    names,
  },
];
