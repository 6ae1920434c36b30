/**
 * What an attachment is, written on the host's end of its veth pair (the alias of the link), so that it is known for as long as
 * the link is there, whatever became of the agent and its files:
 *
 *     tulle attachment docker blue 9f0c41d2a7e35b68 02:8a:..:05 10.9.1.2,fd00:9::1:2 web 5f2c...
 */
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { isContainerName, isSegmentName } from '../../subnet/segment/segment.ts';
import { isAttachmentId } from './attachment-links.ts';
import { type ContainerEngine, isContainerEngine, OVERLAY_NETWORK } from './attachments.ts';

export interface AttachmentAlias {
  readonly id: string;
  readonly engine: ContainerEngine;
  /** Name of the network. */
  readonly network: string;
  /** Of the L2 network: a later one of the same name is another one. Absent for the overlay. */
  readonly networkId?: string;
  readonly mac: Mac;
  /** At least one. */
  readonly ips: readonly Ip[];
  /** The first characters of its name, where all do not fit. */
  readonly container: string;
}

/** IFALIASZ without its NUL (include/uapi/linux/if.h). */
const MOST_CHARACTERS = 255;

export function formatAttachmentAlias(alias: AttachmentAlias): string {
  const { id, engine, network, networkId = '-', mac, ips, container } = alias;
  const head = `tulle attachment ${engine} ${network} ${networkId} ${mac} ${ips.join(',')}`;
  const room = MOST_CHARACTERS - head.length - id.length - 2;
  return `${head} ${container.slice(0, Math.max(1, room))} ${id}`;
}

/** undefined for the alias of any other link. */
export function parseAttachmentAlias(alias: string | undefined): AttachmentAlias | undefined {
  const [, engine = '', network = '', networkId = '', mac = '', ips = '', container = '', id = ''] =
    /^tulle attachment (\S+) (\S+) (-|[0-9a-f]{16}) (\S+) (\S+) (\S+) (\S+)$/.exec(alias ?? '') ?? [];
  const isNetwork = networkId === '-' ? network === OVERLAY_NETWORK : isSegmentName(network);
  if (!isContainerEngine(engine) || !isNetwork || !isContainerName(container) || !isAttachmentId(id)) {
    return undefined;
  }
  try {
    return {
      id,
      engine,
      network,
      ...(networkId !== '-' && { networkId }),
      mac: Mac.parse(mac),
      ips: ips.split(',').map(Ip.parse),
      container,
    };
  } catch {
    return undefined;
  }
}
