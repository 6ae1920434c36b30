/** What is published for a wish: which family, which address of this host, which elements. No effects. */
import { formatProblem, type Problem } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { familiesOf } from '../../base/per-family.ts';
import { forwardElement, type PortElement } from '../../firewall/ports/port-elements.ts';
import { AttachmentError, type PublishedMapping } from '../attachment/attachments.ts';
import type { PortMapping } from '../attachment/port-mapping.ts';
import { ANY_ADDRESS } from './port-holds.ts';
import type { PublishWish } from './publisher.ts';

/** Families in which a container can be reached through this host. */
export const publishingFamilies = ({ addresses, network }: PublishWish): readonly Family[] =>
  familiesOf(addresses).filter(family => network.gateways[family] !== undefined);

/** Where a mapping listens: unspecified for every address of the family; none where the container has no such address. */
export function listeningAddresses({ hostIp }: PortMapping, families: readonly Family[]): readonly Ip[] {
  if (hostIp === undefined) return families.map(family => ANY_ADDRESS[family]);
  return families.includes(hostIp.family) ? [hostIp] : [];
}

/** The elements of one mapping. */
export function mappingElements(
  { id, container, addresses, network }: PublishWish,
  mapping: PublishedMapping,
  ips: readonly Ip[],
  since: Date,
): PortElement[] {
  return ips.flatMap(ip => {
    const target = addresses[ip.family];
    if (target === undefined) return [];
    return forwardElement({
      protocol: mapping.protocol,
      ...(!ip.isUnspecified && { hostIp: ip }),
      hostPort: mapping.hostPort,
      target,
      targetPort: mapping.containerPort,
      comment: formatComment(since, network.name, container || id),
    });
  });
}

/** `since 2026-11-30T03:10:00Z: web on blue`. */
const formatComment = (since: Date, network: string, container: string) =>
  `since ${since.toISOString().replace(/\.\d+Z/, 'Z')}: ${container} on ${network}`;

/** When a port was published, as its element says. */
export function sinceIn(comment: string | undefined): Date | undefined {
  const [, text] = /^since (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ): /.exec(comment ?? '') ?? [];
  return text === undefined ? undefined : new Date(text);
}

/** The kernel drops answers to ::1 that come in by another link than lo. */
const NO_LOOPBACK = 'is not routed to containers by the kernel';

/** @throws AttachmentError INVALID_WISH with all that is wrong */
export function checkPorts({ mappings }: PublishWish): void {
  const problems = mappings.flatMap((mapping, index): Problem[] => {
    const { containerPort, hostIp, hostPort, hostPortEnd } = mapping;
    const at = (field: string, value: number | undefined, least = 1): Problem[] =>
      value === undefined || (Number.isInteger(value) && value >= least && value <= 65_535)
        ? []
        : [{ path: `ports[${index}].${field}`, value, message: `must be a port from ${least} to 65535` }];
    return [
      ...at('containerPort', containerPort),
      ...at('hostPort', hostPort),
      ...at('hostPortEnd', hostPortEnd, hostPort ?? 1),
      ...(hostIp?.family === 'ipv6' && hostIp.isLoopback
        ? [
            {
              path: `ports[${index}].hostIp`,
              value: `${hostIp}`,
              message: NO_LOOPBACK,
              hint: 'use 127.0.0.1',
            },
          ]
        : []),
    ];
  });
  if (problems.length > 0) throw new AttachmentError('INVALID_WISH', problems.map(formatProblem).join('; '));
}
