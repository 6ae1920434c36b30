/** What containers see of their networks, in one table. */
import * as v from 'valibot';
import { uncoloured } from '../../../console/fold.ts';
import { formatTable } from '../../../console/table.ts';

/** What one container sees. */
export interface View {
  readonly container: string;
  readonly links: readonly {
    /** `eth0 veth`, `lo`. */
    readonly name: string;
    /** CIDR. */
    readonly addresses: readonly string[];
  }[];
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
    links: links.map(({ ifname, linkinfo, addr_info }) => ({
      name: [ifname, linkinfo?.info_kind].filter(Boolean).join(' '),
      addresses: addr_info
        .filter(({ family }) => family === 'inet')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    })),
    routes: routes
      .toSorted(byLink)
      .map(({ dst, gateway, dev }) => `${dst} ${gateway === undefined ? `dev ${dev}` : `via ${gateway}`}`),
    nameServers: [...texts.resolv.matchAll(/^nameserver (\S+)/gm)].map(([, server = '']) => server),
  };
}

/** Columns that a step's output has on a screen of 80. */
const WIDTH = 77;

/** One line of the table: a link and its address, and beside them what a container has of everything else. */
type Line = readonly [container: string, link: string, address: string, route: string, nameServer: string];

export function viewsTable(views: readonly View[]): string {
  const titles = ['on', 'links', 'addresses', 'routes', 'DNS'];
  const columns = titles.map((title, at) => ({ title, cell: (line: Line) => line[at] ?? '' }));
  return uncoloured(formatTable(columns, views.flatMap(linesOf), WIDTH));
}

/** Ends of containers, as Docker and Tulle call them. */
const END = /^(veth|tv[\da-f]{12}\b)/;

function linesOf({ container, links, routes, nameServers }: View): Line[] {
  const named = links.filter(({ name }) => !END.test(name));
  const ends = links.length - named.length;
  // They are as many as the host has containers, and say nothing.
  const shown = ends === 0 ? named : [...named, { name: `${ends} veth ends`, addresses: [] }];
  // Nothing at all shows as `-`, nothing more as a space.
  const pairs = shown.flatMap(({ name, addresses: [first = ' ', ...more] }) => [
    [name, first],
    ...more.map(address => [' ', address]),
  ]);
  const height = Math.max(1, pairs.length, routes.length, nameServers.length);
  return Array.from({ length: height }, (_, row): Line => {
    const at = (items: readonly string[]) => items[row] ?? (row === 0 ? '' : ' ');
    const [link = ' ', address = ' '] = pairs[row] ?? [];
    return [at([container]), link, address, at(routes), at(nameServers)];
  });
}
