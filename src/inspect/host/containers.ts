/**
 * The containers of a host, found by their links alone, whatever has made them: a container is a network namespace that a
 * veth pair of the host leads into. Namespaces that cannot be entered from here are not found.
 */
import type { ListedContainer } from '../../docker/docker-messages.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { networkNamespaces } from '../../sys/netns-search.ts';
import { containerName } from './container-names.ts';
import { NamespaceReader } from './namespace-reader.ts';

/** One veth pair between a container and the host. */
export interface ContainerLink {
  /** The end in the container. */
  readonly inner: Link;
  /** The end on the host. */
  readonly outer: Link;
  /** What the outer end is a port of. */
  readonly bridge?: Link;
}

export interface Container {
  readonly name: string;
  /** Reads in its namespace. */
  readonly inside: NamespaceReader;
  /** At least one. */
  readonly links: readonly ContainerLink[];
  /** All that its namespace has. */
  readonly allLinks: readonly Link[];
  /** Put before a command, it is run inside: `nsenter --net=/run/netns/c1`. */
  readonly enter: readonly string[];
}

/** What leads to a container: without its name. */
type Found = Omit<Container, 'name' | 'enter'>;

/** The receiver disposes of `inside` of each. @param docker what Docker knows; asked only where that may name one */
export async function findContainers(
  host: NamespaceReader,
  docker: () => Promise<readonly ListedContainer[]>,
): Promise<Container[]> {
  const found = await search(host);
  const isNamed = ({ inside }: Found) => inside.netns.path.startsWith('/run/netns/');
  const listed = found.every(isNamed) ? [] : await docker();
  return Promise.all(
    found.map(async ({ inside, links, allLinks }) => {
      const { path } = inside.netns;
      const addresses = await inside.addresses().catch(() => []);
      const name = containerName({ path, links: links.map(({ inner }) => inner), addresses }, listed);
      return { name, inside, links, allLinks, enter: ['nsenter', `--net=${path}`] };
    }),
  );
}

async function search(host: NamespaceReader): Promise<Found[]> {
  const links = await host.links();
  const veths = links.filter(({ info, netnsId }) => info?.kind === 'veth' && netnsId !== undefined);
  const byNetns = Map.groupBy(veths, ({ netnsId }) => netnsId);
  const found: Promise<Found | undefined>[] = [];
  for (const netns of byNetns.size === 0 ? [] : networkNamespaces()) {
    using _ = netns;
    if (netns.inode === host.netns.inode) continue;
    const id = await host.netnsId(netns);
    const outers = id === undefined ? undefined : byNetns.get(id);
    if (outers === undefined) continue;
    byNetns.delete(id);
    found.push(readLinks(new NamespaceReader(netns), outers, links));
    if (byNetns.size === 0) break;
  }
  return (await Promise.all(found)).filter(one => one !== undefined);
}

/** undefined when it is gone meanwhile. */
async function readLinks(
  inside: NamespaceReader,
  outers: readonly Link[],
  hostLinks: readonly Link[],
): Promise<Found | undefined> {
  const inners = await inside.links().catch(() => []);
  const links = outers.flatMap(outer => {
    const inner = inners.find(({ index, lower }) => index === outer.lower && lower === outer.index);
    const bridge = hostLinks.find(({ index, info }) => index === outer.master && info?.kind === 'bridge');
    return inner === undefined ? [] : [{ inner, outer, ...(bridge && { bridge }) }];
  });
  if (links.length > 0) return { inside, links, allLinks: inners };
  await inside[Symbol.asyncDispose]();
  return undefined;
}
