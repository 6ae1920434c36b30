/** The addresses of a container that is about to be attached. */
import { createHash } from 'node:crypto';
import type { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { familiesOf, type PerFamily } from '../base/per-family.ts';
import type { Undo } from '../base/undo.ts';
import {
  type AddressWish,
  AttachmentError,
  type Attachments,
  type ContainerNetwork,
} from '../network/attachment/attachments.ts';

/**
 * One of each family of the network.
 * @param ips those that are wanted; free ones for the other families
 * @param undo gives them back
 * @throws AttachmentError
 */
export async function reserveAddresses(
  attachments: Pick<Attachments, 'reserve' | 'release'>,
  { name, subnets }: ContainerNetwork,
  wish: Omit<AddressWish, 'ip' | 'family'>,
  ips: PerFamily<Ip>,
  undo: Undo,
): Promise<PerFamily<Ip>> {
  const foreign = familiesOf(ips).find(family => subnets[family] === undefined);
  if (foreign !== undefined)
    throw new AttachmentError(
      'INVALID_WISH',
      `${ips[foreign]}: the network ${name} has no addresses of ${foreign}`,
    );
  const reserved: { -readonly [Key in keyof PerFamily<Ip>]: PerFamily<Ip>[Key] } = {};
  for (const family of familiesOf(subnets)) {
    const wanted = ips[family];
    const ip = await attachments.reserve(name, { ...wish, family, ...(wanted && { ip: wanted }) });
    undo.push(`release ${ip}`, () => attachments.release(name, ip));
    reserved[family] = ip;
  }
  return reserved;
}

/** Always the same for an attachment; locally administered (IEEE 802, clause 8.4). */
export function macOf(id: string): Mac {
  const digest = createHash('sha256').update(`tulle mac ${id}`).digest();
  return Mac.random(() => digest.subarray(0, 6));
}
