/** Why packets take the normal path: of this host, of a network, of a link or of a peer. A code for scripts and a sentence. */
import type { FastPathObstacle } from '../../api/fast-path.ts';
import type { JudgingRule } from '../../firewall/judging/judging-rule.ts';

export const OBSTACLES = {
  offByFlag: of('OFF_BY_FLAG', 'it is off on this host (--fast-path=off)'),
  offByConfig: of('OFF_BY_CONFIG', 'it is off in the configuration of the network (FastPath)'),
  waiting: of('WAITING', 'this host has no lease yet'),
  ipv6: of('IPV6', 'packets of IPv6 take the normal path, and the network has no IPv4'),
  gbp: of('GBP', 'the network carries group based policy marks (GBP), which only the normal path knows'),
  direct: of('DIRECT', 'it is reached without a tunnel'),
  forwarder: of('FORWARDER', 'it is reached through the forwarder, a program in user space'),
  outerIpv6: of('OUTER_IPV6', 'tunnel packets are IPv6, and only those of IPv4 can take it'),
  sameNamespace: of('SAME_NAMESPACE', 'both ends of the link are on the host: no container is behind it'),
  unreadRules: of('FIREWALL_UNKNOWN', 'the rules of the firewall could not be read yet'),
  noContainers: of('NO_CONTAINERS', 'no container link of this host is on the network'),
} as const satisfies Record<string, FastPathObstacle>;

export const tooManyTunnels = of(
  'TUNNELS',
  'this host has more tunnels, or ports of them, than the programs can know',
);

export const kernelObstacle = (text: string) => of('KERNEL', text);

export const noTunnel = (backend: string) =>
  of('NO_VXLAN', `the backend ${backend} has no VXLAN device, and other ways need no faster one`);

export const notEthernet = (link: string) => of('NOT_ETHERNET', `the underlay ${link} is no Ethernet link`);

export const limited = (link: string, queue: string) =>
  of('LINK_QUEUE', `${link} has a queue that packets must pass (${queue})`);

/** @param what `a filter (u32, pref 49152)`, `the program cil_from_netdev (id 7)`. */
export const watched = (link: string, what: string) =>
  of('LINK_PROGRAM', `${link} has ${what} of others, which must see each packet`);

export const judged = ({ where, rule, look }: JudgingRule) =>
  of('FIREWALL_RULE', `${where} has a rule to ${rule}, which must see each packet; \`${look}\` shows it`);

/** @param reason the failure of the data plane. */
export const failed = (reason: string) => of('FAILED', reason);

function of(code: string, text: string): FastPathObstacle {
  return { code, text };
}
