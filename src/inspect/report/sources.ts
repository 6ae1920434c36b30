/** What a report shows of the host itself: commands that a person would type to look, and files that a person would open. */

export interface ReportCommand {
  readonly title: string;
  readonly command: readonly [program: string, ...args: string[]];
}

export const REPORT_COMMANDS: readonly ReportCommand[] = [
  { title: 'links', command: ['ip', '-details', '-statistics', 'link'] },
  { title: 'addresses', command: ['ip', 'address'] },
  { title: 'policy rules', command: ['ip', 'rule'] },
  { title: 'policy rules, IPv6', command: ['ip', '-6', 'rule'] },
  { title: 'routes', command: ['ip', 'route', 'show', 'table', 'all'] },
  { title: 'routes, IPv6', command: ['ip', '-6', 'route', 'show', 'table', 'all'] },
  { title: 'next hops', command: ['ip', 'nexthop'] },
  { title: 'neighbors', command: ['ip', '-statistics', 'neighbor'] },
  { title: 'bridge ports', command: ['bridge', '-details', 'link'] },
  { title: 'bridge FDB', command: ['bridge', 'fdb'] },
  { title: 'bridge VLANs', command: ['bridge', 'vlan'] },
  { title: 'queues', command: ['tc', '-statistics', 'qdisc'] },
  { title: 'nftables', command: ['nft', 'list', 'ruleset'] },
  { title: 'iptables', command: ['iptables-save', '--counters'] },
  { title: 'iptables, IPv6', command: ['ip6tables-save', '--counters'] },
  { title: 'iptables-legacy', command: ['iptables-legacy-save', '--counters'] },
  { title: 'iptables-legacy, IPv6', command: ['ip6tables-legacy-save', '--counters'] },
  {
    title: 'UDP and TCP listeners',
    command: ['ss', '--udp', '--tcp', '--listening', '--numeric', '--processes'],
  },
  { title: 'network namespaces', command: ['ip', 'netns'] },
  {
    title: 'sysctls',
    command: [
      'sysctl',
      '--all',
      '--ignore',
      '--pattern',
      String.raw`^net\.(ipv[46]\.(ip_forward|conf\..*\.(forwarding|rp_filter|arp_\w+|accept_local|disable_ipv6)|neigh\.default\.gc_thresh\d|icmp_echo_ignore_all)|bridge\.|netfilter\.nf_conntrack_(max|count)$)`,
    ],
  },
  { title: 'Docker', command: ['docker', 'info'] },
  { title: 'Docker networks', command: ['docker', 'network', 'ls', '--no-trunc'] },
  { title: 'Docker default bridge', command: ['docker', 'network', 'inspect', 'bridge'] },
  {
    title: "the agent's journal",
    command: ['journalctl', '--unit=tulle-agent', '--lines=300', '--no-pager'],
  },
];

export interface ReportFile {
  readonly title: string;
  readonly path: string;
}

export const REPORT_FILES: readonly ReportFile[] = [
  { title: 'kernel', path: '/proc/version' },
  { title: 'distribution', path: '/etc/os-release' },
  { title: 'counters of protocols', path: '/proc/net/snmp' },
  { title: 'counters of protocols, more', path: '/proc/net/netstat' },
  { title: 'counters of IPv6', path: '/proc/net/snmp6' },
  { title: "Docker's daemon.json", path: '/etc/docker/daemon.json' },
  { title: 'modules', path: '/proc/modules' },
];
