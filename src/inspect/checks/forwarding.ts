/** Whether this host forwards packets at all, and each of its links: sysctls, as netlink has them. */
import type { Family } from '../../base/ip.ts';
import { NETCONFA_IFINDEX_ALL } from '../../netlink/route/constants.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, fixedBy, HERE } from './check.ts';

export interface ForwardingSettings {
  readonly forwards: (link: string) => boolean;
  /** The larger of the value of the link and that of all is in force. */
  readonly rpFilter: (link: string) => number;
  /** Of a whole family. */
  readonly isOff: (family: Family) => boolean;
}

export async function forwardingOf(host: HostReader): Promise<ForwardingSettings> {
  const [netconf, links] = await Promise.all([host.netconf(), host.links()]);
  const of = (family: Family, index: number | undefined) =>
    netconf.find(each => each.family === family && each.index === index);
  const indexOf = (link: string) => links.find(({ name }) => name === link)?.index;
  return {
    forwards: link => of('ipv4', indexOf(link))?.forwarding !== 0,
    rpFilter: link =>
      Math.max(of('ipv4', indexOf(link))?.rpFilter ?? 0, of('ipv4', NETCONFA_IFINDEX_ALL)?.rpFilter ?? 0),
    isOff: family => of(family, NETCONFA_IFINDEX_ALL)?.forwarding === 0,
  };
}

const SETTINGS = { ipv4: 'net.ipv4.ip_forward', ipv6: 'net.ipv6.conf.all.forwarding' } as const;

const TTL = 'net.ipv4.ip_default_ttl';

/** Packets of the host itself pass one router on their way to a container: the other host. */
export function ttlCauses(value: string | undefined): Cause[] {
  if (value === undefined || Number(value) > 1) return [];
  return [
    fixedBy([['sysctl', '-w', `${TTL}=64`]], {
      code: 'TTL_EXCEEDED',
      severity: 'error',
      layer: 'routing',
      reason: `packets of ${HERE} itself begin with a TTL of ${value}: they reach other hosts, and no container there`,
      evidence: [`${TTL} = ${value}`],
    }),
  ];
}

export function forwardingCauses(
  { isOff }: Pick<ForwardingSettings, 'isOff'>,
  families: readonly Family[],
): Cause[] {
  return families.filter(isOff).map(family => {
    const setting = SETTINGS[family];
    return {
      code: 'FORWARDING_OFF',
      severity: 'error',
      layer: 'routing',
      reason: `${HERE} does not forward ${family === 'ipv4' ? 'IPv4' : 'IPv6'} packets: containers of ${HERE} are cut off from other hosts`,
      evidence: [`${setting} = 0`],
      remedy: `sysctl -w ${setting}=1`,
      fix: [['sysctl', '-w', `${setting}=1`]],
    };
  });
}
