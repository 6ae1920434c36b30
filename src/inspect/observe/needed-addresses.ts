/**
 * The addresses whose link addresses a host needs to move a flow: its two ends, the next hops to them, and, where these are
 * behind a tunnel, the next hops to the host at its other end.
 */
import type { Ip } from '../../base/ip.ts';
import { linkKind } from '../../netlink/route/link-info.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';
import type { WatchedFlow } from './watched-flow.ts';

type Reads = Pick<NamespaceReader, 'lookup' | 'neighbors' | 'fdb' | 'links'>;

/** As text. What cannot be read adds nothing. */
export async function neededAddresses(host: Reads, { from, to }: WatchedFlow): Promise<ReadonlySet<string>> {
  const needed = new Set([`${from}`, `${to}`]);
  for (const end of [from, to]) {
    const hop = await nextHop(host, end);
    if (hop === undefined) continue;
    needed.add(`${hop.address}`);
    for (const remote of await remotesOf(host, hop)) {
      const outer = await nextHop(host, remote);
      needed.add(`${outer?.address ?? remote}`);
    }
  }
  return needed;
}

interface NextHop {
  readonly address: Ip;
  /** Index of the link. */
  readonly link: number;
}

async function nextHop(host: Reads, destination: Ip): Promise<NextHop | undefined> {
  const { route } = await host.lookup(destination);
  if (route?.oif === undefined) return undefined;
  return { address: route.gateway ?? destination, link: route.oif };
}

/** Where the tunnel that leads to a next hop ends, from its neighbor and forwarding tables. */
async function remotesOf(host: Reads, { address, link }: NextHop): Promise<Ip[]> {
  const info = (await host.links()).find(({ index }) => index === link)?.info;
  const kind = info && linkKind(info);
  // The other end is the next hop itself.
  if (kind === 'ipip' || kind === 'sit' || kind === 'ip6tnl') return [address];
  if (kind !== 'vxlan') return [];
  const neighbors = await host.neighbors();
  const mac = neighbors.find(({ index, ip }) => index === link && ip.equals(address))?.mac;
  if (mac === undefined) return [];
  const entries = await host.fdb(link);
  return entries.filter(entry => entry.mac.equals(mac)).flatMap(({ destination }) => destination ?? []);
}
