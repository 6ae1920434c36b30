/** What a former run of the agent has left of attachments, in its record and in the kernel: the two are made one. */
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { byFamily, valuesOf } from '../../base/per-family.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { FormerPublication } from '../ports/publisher.ts';
import { formatAttachmentAlias, parseAttachmentAlias } from './attachment-alias.ts';
import { attachmentLinks } from './attachment-links.ts';
import type { AttachmentRecord, RecordedAttachment } from './attachment-record.ts';
import type { DetachedLinks } from './detached-links.ts';
import { removeVeth } from './veth.ts';

/** Opens the record. A link that was begun goes, and one that the record has lost is entered. @throws NetlinkError */
export async function takeOverAttachments(
  record: AttachmentRecord,
  detached: DetachedLinks,
  { rtnetlink, logger }: { readonly rtnetlink: Rtnetlink; readonly logger: Logger },
): Promise<void> {
  const lost = await record.open();
  if (lost !== undefined) {
    logger.warn({ error: messageOf(lost) }, 'the record of attachments could not be read');
  }
  const all = await rtnetlink.links.list();
  await detached.open(all);
  const links = new Map(all.map(link => [link.name, link]));
  for (const { id, begun } of record.values()) {
    if (begun !== true) continue;
    const { host } = attachmentLinks(id);
    if (await removeVeth(rtnetlink, links.get(host), id)) links.delete(host);
    await record.delete(id);
    logger.info({ id, link: host }, 'removed what a former run had begun to attach');
  }
  for (const link of links.values()) {
    const found = parseAttachmentAlias(link.alias);
    if (found === undefined || attachmentLinks(found.id).host !== link.name) continue;
    if (record.get(found.id) !== undefined) continue;
    const { ips, ...rest } = found;
    await record.set({ ...rest, addresses: byFamily(...ips), names: [], ports: [] });
    logger.warn(
      { id: found.id, link: link.name },
      'an attachment that the record has lost is known by its link',
    );
  }
}

/** What is written on the host's end. */
export function aliasOf({ addresses, ...attachment }: RecordedAttachment): string {
  return formatAttachmentAlias({ ...attachment, ips: valuesOf(addresses) });
}

/** What its ports are, for who publishes them; none for an attachment without. */
export function publicationOf({
  id,
  container,
  addresses,
  network: name,
  ports: mappings,
  publishedOn,
}: RecordedAttachment): readonly FormerPublication[] {
  if (publishedOn === undefined || mappings.length === 0) return [];
  return [{ id, container, addresses, network: { ...publishedOn, name }, mappings }];
}
