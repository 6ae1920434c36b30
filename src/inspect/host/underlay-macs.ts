/** By which MAC addresses hosts reach one another on the underlay, as one of them knows it. */
import type { UnderlayStation } from '../../api/inspection.ts';
import type { HostReader } from './host-reader.ts';
import { addressesIn } from './overlay.ts';

/** NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE: what another station has said. include/uapi/linux/neighbour.h */
const LEARNED = 0x1e;

export interface UnderlayMacs {
  readonly own: UnderlayStation[];
  /** Entries of the neighbor table that others have answered; what a person has fixed is another finding. */
  readonly peers: UnderlayStation[];
}

/** Nothing while no agent says what the underlay is. */
export async function underlayMacs(host: HostReader): Promise<UnderlayMacs> {
  const [status, links, neighbors, peers] = await Promise.all([
    host.status(),
    host.links(),
    host.neighbors(),
    host.peers(),
  ]);
  const link = links.find(({ name }) => name === status?.underlay?.link.name);
  if (link?.mac === undefined) return { own: [], peers: [] };
  const { index, mac } = link;
  const asked = new Set(peers.flatMap(({ publicIps }) => publicIps.map(({ key }) => key)));
  return {
    own: addressesIn(Object.values(status?.underlay?.ip ?? {})).map(ip => ({
      ip: String(ip),
      mac: String(mac),
    })),
    peers: neighbors
      .filter(one => one.index === index && (one.state & LEARNED) !== 0 && asked.has(one.ip.key))
      .flatMap(({ ip, mac: its }) => (its === undefined ? [] : [{ ip: String(ip), mac: String(its) }])),
  };
}
