/** Neighbors on the underlay: ARP and ND of what packets for the peers are handed to next. */
import { readFileSync } from 'node:fs';
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { type PerFamily, perFamily } from '../../base/per-family.ts';
import { IFF_NOARP, NUD_FAILED, NUD_NOARP, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { Link, Neighbor } from '../../netlink/route/objects.ts';
import { neighborLine } from '../../netlink/text/entries.ts';
import { linkLine, type NameOf } from '../../netlink/text/link.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, HERE, ipCommand, sysctlName } from './check.ts';
import { type HostUnderlay, underlayOf } from './underlay.ts';

/** What packets for peers are handed to. */
export interface NextHop {
  readonly ip: Ip;
  /** Names of the peers behind it. */
  readonly peers: readonly string[];
  /** Others are behind it as well: it is a router. */
  readonly isRouter: boolean;
}

export async function checkNeighbors(host: HostReader): Promise<Cause[]> {
  const [underlay, neighbors, nameOf] = await Promise.all([
    underlayOf(host),
    host.neighbors(),
    host.nameOf(),
  ]);
  const { link } = underlay;
  if (link === undefined || !link.up) return [];
  const hops = await nextHops(host, underlay);
  return [
    ...arpCauses(link, nameOf, path => host.sysctl(path)),
    ...neighborCauses(
      link,
      hops,
      neighbors.filter(({ index }) => index === link.index),
      nameOf,
    ),
    ...tableCauses(neighbors, path => host.sysctl(path), host.netns.run(entriesOfAll)),
  ];
}

async function nextHops(host: HostReader, { link, ips }: HostUnderlay): Promise<NextHop[]> {
  const peers = await host.peers();
  const ends = await Promise.all(
    peers.flatMap(({ name, publicIps }) =>
      publicIps.map(async ip => {
        const source = ips.find(own => own.family === ip.family);
        const { route } = await host.lookup(ip, { source });
        return {
          name,
          ip: route?.oif === link?.index ? (route?.gateway ?? ip) : undefined,
          isRouter: route?.gateway !== undefined,
        };
      }),
    ),
  );
  const groups = Map.groupBy(ends, ({ ip }) => String(ip));
  return Array.from(groups.values()).flatMap(group => {
    const [first] = group;
    if (first?.ip === undefined) return [];
    return [{ ip: first.ip, peers: group.map(({ name }) => name), isRouter: first.isRouter }];
  });
}

/** ARPHRD_ETHER. */
const ETHERNET = 1;

/** Whether the link asks for and answers to addresses at all. */
function arpCauses(link: Link, nameOf: NameOf, read: (path: string) => string | undefined): Cause[] {
  const wrong = { code: 'ARP_OFF', severity: 'error', layer: 'neighbor' } as const;
  if (link.type === ETHERNET && (link.flags & IFF_NOARP) !== 0) {
    return [
      {
        ...wrong,
        reason: `${link.name} does without ARP: ${HERE} neither finds its peers nor is found by them`,
        evidence: [linkLine(link, nameOf)],
        remedy: `ip link set dev ${link.name} arp on`,
        fix: [['ip', 'link', 'set', 'dev', link.name, 'arp', 'on']],
      },
    ];
  }
  const value = (name: string) => Number(read(`net/ipv4/conf/${name}/arp_ignore`) ?? 0);
  // The larger value counts; 8 answers nothing (Documentation/networking/ip-sysctl.rst).
  const [ofAll, own] = [value('all'), value(link.name)];
  if (Math.max(ofAll, own) < 8) return [];
  const setting = sysctlName(`net/ipv4/conf/${ofAll >= 8 ? 'all' : link.name}/arp_ignore`);
  return [
    {
      ...wrong,
      reason: `${HERE} answers no ARP on ${link.name}: peers do not find it`,
      evidence: [`${setting} = ${Math.max(ofAll, own)}`],
      remedy: `sysctl -w ${setting}=0`,
      fix: [['sysctl', '-w', `${setting}=0`]],
    },
  ];
}

/** Entries made by hand. */
const FIXED = NUD_PERMANENT | NUD_NOARP;

function neighborCauses(
  link: Link,
  hops: readonly NextHop[],
  neighbors: readonly Neighbor[],
  nameOf: NameOf,
): Cause[] {
  return hops.flatMap((hop): Cause[] => {
    const entry = neighbors.find(({ ip }) => ip.equals(hop.ip));
    if (entry === undefined) return [];
    const { mac, state } = entry;
    const station = `${hop.ip}, ${hop.isRouter ? `the router to ${hop.peers.join(', ')}` : `the address of ${hop.peers.join(', ')}`}`;
    const line = neighborLine(entry, nameOf);
    if ((state & FIXED) !== 0) {
      const other = ownerOfMac(entry, hops, neighbors, link.mac);
      return [
        {
          code: 'UNDERLAY_NEIGHBOR',
          severity: other === undefined ? 'warning' : 'error',
          layer: 'neighbor',
          reason:
            other === undefined
              ? `the MAC address of ${station}, is fixed by hand: if that host has another one, no packet reaches it`
              : `packets for ${station}, go to a wrong MAC address: ${mac} is that of ${other}`,
          evidence: [
            line,
            ...neighbors
              .filter(each => each !== entry)
              .slice(0, 3)
              .map(each => neighborLine(each, nameOf)),
          ],
          remedy: `${ipCommand(hop.ip.family)} neigh delete ${hop.ip} dev ${link.name}`,
          ...(other !== undefined && { fix: [['ip', 'neigh', 'delete', `${hop.ip}`, 'dev', link.name]] }),
        },
      ];
    }
    if (state !== NUD_FAILED) return [];
    return [
      {
        code: 'UNDERLAY_NEIGHBOR',
        // The cause is where nobody answers, and a probe shows whether it still is so.
        severity: 'info',
        layer: 'neighbor',
        reason: `${station}, does not answer ${hop.ip.family === 'ipv4' ? 'ARP' : 'neighbor solicitations'} on ${link.name}`,
        evidence: [line],
        remedy: 'see whether that host is up, on the same link, and has this address',
      },
    ];
  });
}

/** Whose MAC address an entry has, where that is known to be another station's. */
function ownerOfMac(
  { mac, ip }: Neighbor,
  hops: readonly NextHop[],
  neighbors: readonly Neighbor[],
  own: Mac | undefined,
): string | undefined {
  if (mac === undefined) return undefined;
  if (mac.equals(own)) return `${HERE} itself`;
  if (!mac.isUnicast) return 'no single station';
  const isLearned = (hop: NextHop) =>
    neighbors.some(each => each.ip.equals(hop.ip) && (each.state & FIXED) === 0 && each.mac?.equals(mac));
  return hops.find(hop => !hop.ip.equals(ip) && isLearned(hop))?.peers.join(', ');
}

/** Of all namespaces, by family; empty in a namespace that is not the first of the machine. */
function entriesOfAll(): PerFamily<number> {
  const read = (name: string) => {
    try {
      const [, line = ''] = readFileSync(`/proc/thread-self/net/stat/${name}`, 'utf8').split('\n');
      return Number.parseInt(line, 16);
    } catch {
      return undefined;
    }
  };
  return perFamily(family => read(family === 'ipv4' ? 'arp_cache' : 'ndisc_cache'));
}

/** Entries without a limit of their own are dropped by the kernel above gc_thresh3 (Documentation/networking/ip-sysctl.rst). */
export function tableCauses(
  neighbors: readonly Neighbor[],
  read: (path: string) => string | undefined,
  everywhere: PerFamily<number> = {},
): Cause[] {
  return (['ipv4', 'ipv6'] as const).flatMap(family => {
    const setting = `net/${family}/neigh/default/gc_thresh3`;
    const limit = Number(read(setting) ?? 0);
    // Permanent ones are not counted.
    const own = neighbors.filter(
      ({ ip, state }) => ip.family === family && (state & NUD_PERMANENT) === 0,
    ).length;
    const count = Math.max(own, everywhere[family] ?? 0);
    if (limit === 0 || count < 0.9 * limit) return [];
    const name = setting.replaceAll('/', '.');
    return [
      {
        code: 'NEIGHBOR_TABLE_FULL',
        severity: count >= limit ? 'error' : 'warning',
        layer: 'limits',
        reason: `the kernel's table of ${family === 'ipv4' ? 'ARP' : 'ND'} entries is ${count >= limit ? '' : 'nearly '}full: packets for stations without an entry are dropped`,
        evidence: [`${name} = ${limit}`, `${count} entries; all namespaces of the machine share the limit`],
        remedy: `sysctl -w ${name}=${limit * 4}`,
      } satisfies Cause,
    ];
  });
}
