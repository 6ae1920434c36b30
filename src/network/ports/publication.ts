/** What is published for one attachment, as data: how it was wished, the ports it got, the elements it is in the kernel. */
import { elementId, type PortElement } from '../../firewall/ports/port-elements.ts';
import type { PublishedMapping } from '../attachment/attachments.ts';
import type { PortHold } from './port-holds.ts';
import { listeningAddresses, mappingElements, publishingFamilies, sinceIn } from './port-wish.ts';
import type { FormerPublication, PublishedPort, PublishWish } from './publisher.ts';

export interface Publication {
  readonly wish: PublishWish;
  readonly ports: readonly HeldMapping[];
  readonly since: Date;
  /** Whether frames may leave by the port of the bridge that they came in by. */
  turnsBack: boolean;
}

export interface HeldMapping {
  readonly mapping: PublishedMapping;
  /** One for each family, or for the address of this host. */
  readonly holds: readonly PortHold[];
}

/** One of a former run, whose ports nobody holds. @param comments of elements in the kernel, which say since when */
export function formerPublication(
  wish: FormerPublication,
  comments: ReadonlyMap<string, string>,
  now: Date,
): Publication {
  const families = publishingFamilies(wish);
  const ports = wish.mappings.map((mapping): HeldMapping => {
    const { protocol, hostPort: port, isHeldByEngine: isHeld = false } = mapping;
    const ips = listeningAddresses(mapping, families);
    return { mapping, holds: ips.map(ip => ({ protocol, ip, port, socket: undefined, isHeld })) };
  });
  const publication = { wish, ports, since: now, turnsBack: false };
  const dates = elementsOfPublication(publication).map(one => sinceIn(comments.get(elementId(one))));
  return { ...publication, since: dates.find(date => date !== undefined) ?? now };
}

export const elementsOfPublication = ({ wish, ports, since }: Publication): PortElement[] =>
  ports.flatMap(({ mapping, holds }) =>
    mappingElements(
      wish,
      mapping,
      holds.map(({ ip }) => ip),
      since,
    ),
  );

export const portsOfPublication = ({ wish, ports, since }: Publication): PublishedPort[] =>
  ports.flatMap(({ mapping, holds }) =>
    holds.flatMap(({ ip, isHeld }): PublishedPort[] => {
      const address = wish.addresses[ip.family];
      if (address === undefined) return [];
      return [
        {
          id: wish.id,
          container: wish.container,
          network: wish.network.name,
          protocol: mapping.protocol,
          ...(!ip.isUnspecified && { hostIp: ip }),
          hostPort: mapping.hostPort,
          address,
          containerPort: mapping.containerPort,
          since,
          isHeld,
        },
      ];
    }),
  );

/**
 * `the container web`. Docker tells the name of a container once it runs; until then it is called by the start of the id of
 * its endpoint, which nobody knows. Other engines name it at once.
 *
 * @param id of the attachment
 */
export const containerText = (id: string, container: string): string =>
  /^[0-9a-f]{64}$/.test(id) && id.startsWith(container)
    ? 'a container that starts now'
    : `the container ${container}`;

/** Whether it is what is wished: also by one who knows the ports that were chosen. */
export function isPublished({ wish: before, ports }: Publication, wish: PublishWish): boolean {
  const text = ({ addresses, network, mappings }: PublishWish) =>
    JSON.stringify([addresses, network.bridge, mappings]);
  return [before, { ...before, mappings: ports.map(({ mapping }) => mapping) }].some(
    one => text(one) === text(wish),
  );
}
