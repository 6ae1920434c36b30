/**
 * What `tulle network connect` has attached, written on the host's end of the veth pair (its alias), so that it lasts
 * exactly as long as the attachment does, whatever becomes of the agent, its files or the store:
 *
 *     tulle endpoint blue web 4026532201 02:8a:..:05 10.9.1.2,fd00:9::1:2
 */
import { createHash } from 'node:crypto';
import { Ip } from '../../../base/ip.ts';
import { Mac } from '../../../base/mac.ts';
import { isContainerName, isSegmentName, type Segment } from '../../../subnet/segment/segment.ts';

export interface EndpointAlias {
  /** Of the network. */
  readonly name: string;
  readonly container: string;
  /** Inode of the network namespace. */
  readonly netns: number;
  readonly mac: Mac;
  /** At least one. */
  readonly ips: readonly Ip[];
}

export function formatEndpointAlias({ name, container, netns, mac, ips }: EndpointAlias): string {
  return `tulle endpoint ${name} ${container} ${netns} ${mac} ${ips.join(',')}`;
}

/** undefined for the alias of any other link. */
export function parseEndpointAlias(alias: string | undefined): EndpointAlias | undefined {
  const [, name = '', container = '', netns = '', mac = '', ips = ''] =
    /^tulle endpoint (\S+) (\S+) (\d{1,15}) (\S+) (\S+)$/.exec(alias ?? '') ?? [];
  if (!isSegmentName(name) || !isContainerName(container)) return undefined;
  try {
    return { name, container, netns: Number(netns), mac: Mac.parse(mac), ips: ips.split(',').map(Ip.parse) };
  } catch {
    return undefined;
  }
}

/** Name of the link: the same for the same namespace, so that it is not connected twice, and another one for a later network. */
export function endpointLinkName({ id }: Pick<Segment, 'id'>, netns: number): string {
  return `te-${createHash('sha256').update(`${id} ${netns}`).digest('hex').slice(0, 12)}`;
}
