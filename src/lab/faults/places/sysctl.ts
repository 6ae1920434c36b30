/** Settings of the kernel that keep packets from passing. */
import type { Fault } from '../fault.ts';
import { host, sysctl } from '../step.ts';

const place = 'sysctl' as const;
const on = 'host' as const;

const MACVLAN = {
  what: 'macvlan',
  attempt: [
    'sh',
    '-c',
    'ip link add left type veth peer name right && ip link add third link left type macvlan',
  ],
};

export const SYSCTL_FAULTS: readonly Fault[] = [
  {
    name: 'forwarding-off',
    place,
    on,
    title: 'the host does not forward',
    story:
      '`sysctl --system` read a file with net.ipv4.ip_forward=0. The host itself is reached, its containers are not. ' +
      'By hand: `sysctl net.ipv4.ip_forward`.',
    effect: 'all',
    plant: () => [sysctl('host', 'net/ipv4/ip_forward', '0')],
    mend: () => [],
    finds: { here: ['FORWARDING_OFF'], there: ['FORWARDING_OFF'] },
  },
  {
    name: 'bridge-forwarding-off',
    place,
    on,
    title: 'the host does not forward what comes from its bridge',
    story:
      'ip_forward says 1, and the setting of the bridge says 0: packets to the containers pass, their answers do not. By hand: ' +
      '`sysctl net.ipv4.conf.docker0.forwarding`.',
    effect: 'all',
    plant: ({ host: { bridge } }) => [sysctl('host', `net/ipv4/conf/${bridge}/forwarding`, '0')],
    mend: () => [],
    finds: { here: ['LINK_FORWARDING_OFF'], there: ['LINK_FORWARDING_OFF'] },
  },
  {
    name: 'rp-filter-strict',
    place,
    on,
    title: 'strict reverse path filtering, and another way back',
    story:
      'The host has two links on one wire. Packets of the other host arrive by the first, answers would leave by the second, and ' +
      'rp_filter=1 drops what comes that way. Nothing is logged without log_martians. By hand: `nstat -az ' +
      'TcpExtIPReversePathFilter` grows.',
    effect: 'all',
    kernel: MACVLAN,
    plant: ({ host: { uplink }, peer: { address, uplinkMac } }) => [
      host(`ip link add uplink2 link ${uplink} type macvlan mode bridge`),
      // Without ARP of its own the other host goes on sending to the first link.
      host('ip link set dev uplink2 arp off up'),
      host(`ip neigh add ${address} lladdr ${uplinkMac} dev uplink2 nud permanent`),
      host(`ip route add ${address}/32 dev uplink2`),
      sysctl('host', 'net/ipv4/conf/all/rp_filter', '1'),
    ],
    mend: () => [host('ip link delete uplink2')],
    finds: { here: ['STRICT_RP_FILTER'], there: ['STRICT_RP_FILTER'] },
  },
  {
    name: 'host-ignores-echo',
    place,
    on,
    title: 'the host answers no ping, and all else works',
    story:
      'Hardening. Containers talk as before; whoever takes a ping of the host for a proof is wrong. By hand: `sysctl ' +
      'net.ipv4.icmp_echo_ignore_all`.',
    effect: 'later',
    plant: () => [sysctl('host', 'net/ipv4/icmp_echo_ignore_all', '1')],
    mend: () => [],
    finds: { here: [], there: [] },
  },
];
