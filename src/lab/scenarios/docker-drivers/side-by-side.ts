/** What containers see of their networks, in one table. */
import * as v from 'valibot';
import { uncoloured } from '../../../console/fold.ts';
import { formatTable } from '../../../console/table.ts';

/** What one container sees. */
export interface View {
  readonly container: string;
  /** `eth0 veth`, `lo`. */
  readonly links: readonly string[];
  /** CIDR. */
  readonly addresses: readonly string[];
  /** `default via 10.0.0.1`. */
  readonly routes: readonly string[];
  readonly nameServers: readonly string[];
}

const Links = v.array(
  v.object({
    ifname: v.string(),
    linkinfo: v.optional(v.object({ info_kind: v.optional(v.string()) })),
    addr_info: v.array(v.object({ family: v.string(), local: v.string(), prefixlen: v.number() })),
  }),
);
const Route = v.object({ dst: v.string(), gateway: v.optional(v.string()), dev: v.optional(v.string()) });
type Route = v.InferOutput<typeof Route>;

/** The default route first; the others not by their numbers, which may be drawn. */
function byLink(one: Route, other: Route): number {
  const keyOf = ({ dst, dev = '' }: Route) => (dst === 'default' ? '' : dev);
  return keyOf(one).localeCompare(keyOf(other));
}

/** @param texts `ip -json -details address`, `ip -json -details -4 route`, /etc/resolv.conf */
export function parseView(
  container: string,
  texts: { readonly links: string; readonly routes: string; readonly resolv: string },
): View {
  const links = v.parse(Links, JSON.parse(texts.links));
  const routes = v.parse(v.array(Route), JSON.parse(texts.routes));
  return {
    container,
    links: links.map(({ ifname, linkinfo }) => [ifname, linkinfo?.info_kind].filter(Boolean).join(' ')),
    addresses: links.flatMap(({ addr_info }) =>
      addr_info
        .filter(({ family }) => family === 'inet')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    ),
    routes: routes
      .toSorted(byLink)
      .map(({ dst, gateway, dev }) => `${dst} ${gateway === undefined ? `dev ${dev}` : `via ${gateway}`}`),
    nameServers: [...texts.resolv.matchAll(/^nameserver (\S+)/gm)].map(([, server = '']) => server),
  };
}

/** Columns that a step's output has on a screen of 80. */
const WIDTH = 77;

/** One line of the table: what a container has first of everything, then what it has second, ... */
type Line = readonly [container: string, link: string, address: string, route: string, nameServer: string];

export function viewsTable(views: readonly View[]): string {
  const titles = ['on', 'links', 'addresses', 'routes', 'DNS'];
  const columns = titles.map((title, at) => ({ title, cell: (line: Line) => line[at] ?? '' }));
  return uncoloured(formatTable(columns, views.flatMap(linesOf), WIDTH));
}

function linesOf({ container, links, addresses, routes, nameServers }: View): Line[] {
  const named = links.filter(link => !link.startsWith('veth'));
  const ends = links.length - named.length;
  // They are as many as the host has containers, and say nothing.
  const shown = ends === 0 ? named : [...named, `${ends} veth ends`];
  const height = Math.max(1, shown.length, addresses.length, routes.length, nameServers.length);
  return Array.from({ length: height }, (_, row): Line => {
    // Nothing at all shows as `-`, nothing more as a space.
    const at = (items: readonly string[]) => items[row] ?? (row === 0 ? '' : ' ');
    return [at([container]), at(shown), at(addresses), at(routes), at(nameServers)];
  });
}
