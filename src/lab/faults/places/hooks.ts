/** Rules at hooks and in families where few look: devices, bridges, ARP, conntrack states, TTL. */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { container, host, peer } from '../step.ts';
import { addRule, dropTable, ruleFault } from './rules.ts';

const place = 'hooks' as const;
const on = 'host' as const;
const named = { here: ['FIREWALL_DROP'], there: ['FIREWALL_DROP'] };

const netdev = (hook: string) => ({
  what: `nftables at ${hook} of a device`,
  attempt: ['nft', `table netdev t { chain c { type filter hook ${hook} device "lo" priority 0; }; }`],
});

export const HOOK_FAULTS: readonly Fault[] = [
  {
    name: 'nft-ingress',
    place,
    on,
    title: "the tunnel's packets are dropped at ingress of the link",
    story:
      'A filter against floods of UDP, before iptables is asked and before tcpdump on the tunnel. By hand: `nft list tables` has one ' +
      'of family netdev.',
    effect: 'all',
    kernel: netdev('ingress'),
    ...ruleFault<Scene>(
      'host',
      ({ host: { uplink } }) => ({
        family: 'netdev',
        table: 'floods',
        hook: `ingress device "${uplink}" priority 0`,
      }),
      ({ port }) => `udp dport ${port} counter drop`,
    ),
    finds: named,
  },
  {
    name: 'nft-egress',
    place,
    on,
    title: "the tunnel's packets are dropped at egress of the link",
    story:
      'The last place of all: `tcpdump` and iptables have seen the packet leave. By hand: `nft list tables`.',
    effect: 'all',
    kernel: netdev('egress'),
    ...ruleFault<Scene>(
      'host',
      ({ host: { uplink } }) => ({
        family: 'netdev',
        table: 'outlet',
        hook: `egress device "${uplink}" priority 0`,
      }),
      ({ port }) => `udp dport ${port} counter drop`,
    ),
    finds: named,
  },
  {
    name: 'nft-ingress-port',
    place,
    on: 'container',
    title: 'what a container sends is dropped at ingress of its port',
    story:
      'A rule on the veth of one container, as network policies make them. By hand: `nft list ruleset netdev`; the container sees ' +
      'its packets leave, the bridge does not see them come.',
    effect: 'all',
    kernel: netdev('ingress'),
    ...ruleFault<Scene>(
      'host',
      ({ container: { hostLink } }) => ({
        family: 'netdev',
        table: 'policies',
        hook: `ingress device "${hostLink}" priority 0`,
      }),
      ({ peer: { subnet } }) => `ip daddr ${subnet} counter drop`,
    ),
    finds: named,
  },
  {
    name: 'nft-bridge',
    place,
    on,
    title: 'nftables drops frames in the bridge',
    story:
      'Family bridge: neither iptables nor tables of family inet see it. By hand: `nft list ruleset bridge`.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'bridge', table: 'guard', hook: 'input priority 0' }),
      ({ peer: { subnet } }) => `ip daddr ${subnet} counter drop`,
    ),
    finds: named,
  },
  {
    name: 'ebtables',
    place,
    on: 'container',
    title: 'ebtables drops the frames to a container',
    story: 'A rule by MAC address of an old hypervisor. By hand: `ebtables -L --Lc`.',
    effect: 'all',
    plant: ({ container: { mac } }) => [host(`ebtables -I OUTPUT -d ${mac} -j DROP`)],
    mend: ({ container: { mac } }) => [host(`ebtables -D OUTPUT -d ${mac} -j DROP`)],
    finds: named,
  },
  {
    name: 'arptables',
    place,
    on,
    title: 'ARP requests of the containers are dropped',
    story:
      'A filter of family arp against ARP spoofing accepts too little. While entries are fresh all works. By hand: `nft list ruleset ' +
      'arp` or `arptables -L`; `ip neigh` in a container says FAILED.',
    effect: 'all',
    plant: ({ host: { bridge, container: first } }) => [
      addRule(
        'host',
        { family: 'arp', table: 'spoof', hook: 'input priority 0' },
        `iifname "${bridge}" counter drop`,
      ),
      host(`ip neigh flush dev ${bridge} to ${first.ip}`),
      container('ip neigh flush dev eth0'),
    ],
    mend: () => [dropTable('host', { family: 'arp', table: 'spoof' })],
    finds: named,
  },
  {
    name: 'arp-uplink',
    place,
    on,
    title: 'ARP of the other hosts is dropped',
    story:
      'The same at the uplink: the host disappears from the wire, although its link and its address are there.',
    effect: 'all',
    plant: ({ host: { uplink, address }, peer: other }) => [
      addRule(
        'host',
        { family: 'arp', table: 'wire', hook: 'input priority 0' },
        `iifname "${uplink}" counter drop`,
      ),
      host(`ip neigh flush dev ${uplink} to ${other.address}`),
      peer(`ip neigh flush dev ${other.uplink} to ${address}`),
    ],
    mend: () => [dropTable('host', { family: 'arp', table: 'wire' })],
    finds: { here: ['FIREWALL_DROP'], there: ['FIREWALL_DROP', 'UNDERLAY_SILENT'] },
  },
  {
    name: 'nft-conntrack',
    place,
    on,
    title: 'nothing new is let through, and what runs goes on',
    story:
      'The rule drops packets in state new. Connections from before live on, so that half of the services seem fine. By hand: ' +
      '`nft list ruleset`, and compare an old connection with a new one.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'inet', table: 'states', hook: 'forward priority mangle' }),
      ({ host: { subnet } }) => `ip daddr ${subnet} ct state new counter drop`,
    ),
    finds: named,
  },
  {
    name: 'nft-ttl',
    place,
    on,
    title: 'a rule sets the TTL of packets to 1',
    story:
      'Meant against tethering. Packets of the containers die at their own host, which answers "Time to live exceeded". By hand: ' +
      'the answer of ping, and `nft list ruleset`.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'ip', table: 'tether', hook: 'prerouting priority mangle' }),
      ({ host: { bridge } }) => `iifname "${bridge}" ip ttl set 1`,
    ),
    finds: {
      here: ['TTL_EXCEEDED'],
      there: ['TTL_EXCEEDED'],
    },
  },
  {
    name: 'nft-rpf',
    place,
    on,
    title: 'a rule of nftables filters by reverse path',
    story:
      'Like rp_filter, but a rule: what has no route back over the same link is dropped. Somebody lost the route of the containers ' +
      'on that link: here the rule asks for the wrong device. By hand: `nft list ruleset` says fib.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'inet', table: 'rpf', hook: 'prerouting priority raw' }),
      ({ host: { tunnel, uplink } }) => `iifname "${tunnel}" fib saddr oifname != "${uplink}" counter drop`,
    ),
    finds: named,
  },
];
