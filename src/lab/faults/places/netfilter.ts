/** Rules of iptables and nftables in the host that drop packets where people look for them first. */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { host } from '../step.ts';
import { ruleFault } from './rules.ts';

const place = 'netfilter' as const;
const on = 'host' as const;
const named = { here: ['FIREWALL_DROP'], there: ['FIREWALL_DROP'] };

/** A rule of iptables, put first and taken away. */
const iptables = (program: string, table: string, chain: string, match: (scene: Scene) => string) => ({
  plant: (scene: Scene) => [host(`${program} -t ${table} -I ${chain} ${match(scene)}`)],
  mend: (scene: Scene) => [host(`${program} -t ${table} -D ${chain} ${match(scene)}`)],
});

export const NETFILTER_FAULTS: readonly Fault[] = [
  {
    name: 'iptables-mangle-forward',
    place,
    on,
    title: 'iptables drops forwarded packets in the mangle table',
    story:
      'A rule of a traffic accounting script. `iptables -L` shows the filter table only, and there all is accepted. By hand: ' +
      '`iptables -t mangle -L FORWARD -v`.',
    effect: 'all',
    ...iptables('iptables', 'mangle', 'FORWARD', ({ network }) => `-d ${network} -j DROP`),
    finds: named,
  },
  {
    name: 'iptables-mangle-prerouting',
    place,
    on,
    title: 'iptables drops what leaves the tunnel before it is routed',
    story:
      'A rule against spoofed addresses takes the network of the containers for spoofed. By hand: `iptables -t mangle -L ' +
      'PREROUTING -v`.',
    effect: 'all',
    ...iptables(
      'iptables',
      'mangle',
      'PREROUTING',
      ({ host: { tunnel }, network }) => `-i ${tunnel} -s ${network} -j DROP`,
    ),
    finds: named,
  },
  {
    name: 'iptables-tunnel-in',
    place,
    on,
    title: "iptables drops the tunnel's packets as they arrive",
    story:
      'Only known ports are let in, and the UDP port of VXLAN is none of them. Ping between the hosts works. By hand: ' +
      '`iptables -t raw -L -v` counts, and `tcpdump -i flannel.88` sees nothing.',
    effect: 'all',
    ...iptables('iptables', 'raw', 'PREROUTING', ({ port }) => `-p udp --dport ${port} -j DROP`),
    finds: named,
  },
  {
    name: 'iptables-tunnel-out',
    place,
    on,
    title: "iptables drops the tunnel's packets as they leave",
    story:
      'An egress filter: the host may send only what is on a list. What other hosts send arrives here, and no answer leaves. By ' +
      'hand: `iptables -t mangle -L OUTPUT -v`.',
    effect: 'all',
    ...iptables('iptables', 'mangle', 'OUTPUT', ({ port }) => `-p udp --dport ${port} -j DROP`),
    finds: named,
  },
  {
    name: 'iptables-postrouting',
    place,
    on,
    title: 'iptables drops what is about to enter the tunnel',
    story: 'The last hook before the tunnel. By hand: `iptables -t mangle -L POSTROUTING -v`.',
    effect: 'all',
    ...iptables('iptables', 'mangle', 'POSTROUTING', ({ host: { tunnel } }) => `-o ${tunnel} -j DROP`),
    finds: named,
  },
  {
    name: 'iptables-blocklist',
    place,
    on: 'container',
    title: 'a block list holds the address of one container',
    story:
      'An intrusion detection took a busy container for an attacker. All others of the host are reached. By hand: ' +
      '`iptables -t mangle -S` has the address.',
    effect: 'all',
    ...iptables('iptables', 'mangle', 'FORWARD', ({ container: { ip } }) => `-s ${ip} -j DROP`),
    finds: named,
  },
  {
    name: 'iptables-connections',
    place,
    on,
    title: 'iptables drops new TCP connections, and ping works',
    story:
      'SYN packets to containers are dropped. Whoever tests with ping finds nothing. By hand: `nc -vz CONTAINER 80` waits for ever, ' +
      'where a closed port would be refused at once.',
    effect: 'tcp',
    ...iptables(
      'iptables',
      'mangle',
      'FORWARD',
      ({ host: { subnet } }) => `-d ${subnet} -p tcp --syn -j DROP`,
    ),
    finds: named,
  },
  {
    name: 'iptables-large',
    place,
    on,
    title: 'iptables drops large packets',
    story:
      'A rule of old against "ping of death". Names are resolved, connections are made, and hang with the first full packet. ' +
      'By hand: `ping -M do -s 1400`.',
    effect: 'large',
    ...iptables(
      'iptables',
      'mangle',
      'FORWARD',
      ({ network }) => `-s ${network} -m length --length 1000:65535 -j DROP`,
    ),
    finds: named,
  },
  {
    name: 'iptables-legacy-mangle',
    place,
    on,
    title: 'a rule in the iptables that is not called iptables',
    story:
      'An old program wrote through iptables-legacy. `iptables` and `nft` show nothing of it, the kernel obeys both. By ' +
      'hand: `iptables-legacy -t mangle -L -v`.',
    effect: 'all',
    ...iptables('iptables-legacy', 'mangle', 'FORWARD', ({ network }) => `-d ${network} -j DROP`),
    finds: { here: ['FIREWALL_DROP', 'LEGACY_RULES'], there: ['FIREWALL_DROP', 'LEGACY_RULES'] },
  },
  {
    name: 'iptables-legacy-raw',
    place,
    on,
    title: "the other iptables drops the tunnel's packets",
    story: 'As before, at the first hook of all. By hand: `iptables-legacy -t raw -L -v`.',
    effect: 'all',
    ...iptables('iptables-legacy', 'raw', 'PREROUTING', ({ port }) => `-p udp --dport ${port} -j DROP`),
    finds: { here: ['FIREWALL_DROP', 'LEGACY_RULES'], there: ['FIREWALL_DROP', 'LEGACY_RULES'] },
  },
  {
    name: 'nft-forward-policy',
    place,
    on,
    title: 'nftables drops all that is forwarded, but for its own list',
    story:
      'A firewall of the distribution with policy drop. It accepts what it knows, and an accept of others does not help: each table has ' +
      'its own say. By hand: `nft list ruleset`.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'inet', table: 'firewall', hook: 'forward priority filter + 10' }),
      ({ host: { uplink } }) => `iifname != "${uplink}" oifname != "${uplink}" counter drop`,
    ),
    finds: named,
  },
  {
    name: 'nft-reject',
    place,
    on,
    title: 'nftables rejects what is forwarded to the containers',
    story:
      'As firewalld does: the sender sees "Packet filtered" instead of silence, which names the host. By hand: the answer of ping.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'inet', table: 'firewalld', hook: 'forward priority filter + 10' }),
      ({ host: { subnet } }) =>
        `ip daddr ${subnet} ct state new counter reject with icmpx type admin-prohibited`,
    ),
    finds: named,
  },
  {
    name: 'nft-set',
    place,
    on,
    title: 'nftables drops addresses that are in a set',
    story:
      'The rule names a set, and the set has the network of the peer. Who reads only the rule does not see why. By hand: ' +
      '`nft list set ip banned peers`.',
    effect: 'all',
    ...ruleFault<Scene>(
      'host',
      ({ peer: { subnet } }) => ({
        family: 'ip',
        table: 'banned',
        hook: 'prerouting priority -290',
        sets: `set peers { type ipv4_addr; flags interval; elements = { ${subnet} }; }`,
      }),
      () => 'ip saddr @peers counter drop',
    ),
    finds: named,
  },
];
