/** Whether an engine can have an attachment as it wishes: every problem at once. */
import { FAMILY_LABELS } from '../../base/ip.ts';
import { familiesOf, valuesOf } from '../../base/per-family.ts';
import { IFNAMSIZ } from '../../netlink/route/constants.ts';
import { isContainerName } from '../../subnet/segment/segment.ts';
import { isAttachmentId } from './attachment-links.ts';
import type { AttachmentRecord, RecordedAttachment } from './attachment-record.ts';
import {
  type AddressWish,
  AttachmentError,
  type AttachWish,
  type ContainerNetwork,
  type PublishedMapping,
} from './attachments.ts';
import type { NetworkSource } from './network-source.ts';
import type { PortMapping } from './port-mapping.ts';

export interface WishSite {
  readonly network: ContainerNetwork;
  readonly source: Pick<NetworkSource, 'holder'>;
  readonly record: Pick<AttachmentRecord, 'userOf'>;
}

/** Of who is to have an address: what is written down of it must be readable again. */
function problemsOfStation({ mac, container }: Pick<AddressWish, 'mac' | 'container'>): string[] {
  const problems: string[] = [];
  if (!isContainerName(container)) {
    problems.push('the name of a container has 1 to 128 printable ASCII characters without spaces');
  }
  if (!mac.isUnicast) problems.push(`${mac} is no MAC address that a link can have`);
  return problems;
}

/** @throws AttachmentError INVALID_WISH */
export function checkAddressWish(wish: AddressWish): void {
  const problems = problemsOfStation(wish);
  if (problems.length > 0) throw new AttachmentError('INVALID_WISH', problems.join('; '));
}

/** @throws AttachmentError INVALID_WISH, ADDRESS_TAKEN */
export async function checkAttachWish(
  wish: AttachWish,
  { network, source, record }: WishSite,
): Promise<void> {
  const { id, engine, mac, container, addresses, sandbox } = wish;
  const problems: string[] = [];
  if (!isAttachmentId(id)) problems.push('an id has 1 to 100 printable ASCII characters without spaces');
  problems.push(...problemsOfStation({ mac, container }));
  if (familiesOf(addresses).length === 0) problems.push('an attachment has at least one address');
  if (sandbox !== undefined && !isLinkName(sandbox.link)) {
    problems.push(`${JSON.stringify(sandbox.link.slice(0, 32))} cannot be the name of a link`);
  }
  for (const family of familiesOf(addresses)) {
    const ip = addresses[family];
    if (ip === undefined) continue;
    if (network.subnets[family]?.contains(ip) !== true) {
      problems.push(`${ip} is not in the ${FAMILY_LABELS[family]} subnet of ${network.name}`);
    } else if ((await source.holder(network.name, ip))?.engine !== engine) {
      problems.push(`${ip} is not reserved for ${engine}`);
    }
  }
  if (problems.length > 0) throw new AttachmentError('INVALID_WISH', problems.join('; '));
  for (const address of [...valuesOf(addresses), mac]) {
    const user = record.userOf(network.name, address);
    if (user === undefined || user.id === id) continue;
    throw new AttachmentError('ADDRESS_TAKEN', `${address} in ${network.name} is that of ${user.container}`, {
      hint: 'give another one, or none',
    });
  }
}

/** Whether it is what was wished before. */
export function isAsWished(present: RecordedAttachment, wish: AttachWish): boolean {
  const textOf = ({ network, mac, engine, addresses, sandbox }: RecordedAttachment | AttachWish) =>
    JSON.stringify([network, mac, engine, valuesOf(addresses), sandbox?.path, sandbox?.link]);
  return textOf(present) === textOf(wish);
}

/** Whether these ports are what is wished, where that leaves a choice. */
export function arePublished(ports: readonly PublishedMapping[], wished: readonly PortMapping[]): boolean {
  const isOne = (port: PublishedMapping | undefined, wish: PortMapping) =>
    port?.protocol === wish.protocol &&
    port.containerPort === wish.containerPort &&
    `${port.hostIp}` === `${wish.hostIp}` &&
    (wish.hostPort === undefined ||
      (port.hostPort >= wish.hostPort && port.hostPort <= (wish.hostPortEnd ?? wish.hostPort)));
  return ports.length === wished.length && wished.every((wish, at) => isOne(ports[at], wish));
}

/** dev_valid_name (net/core/dev.c). */
function isLinkName(name: string): boolean {
  return /^[^\s/:]+$/.test(name) && name !== '.' && name !== '..' && name.length < IFNAMSIZ;
}
