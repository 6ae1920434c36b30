/** The addresses of one device. One is added before stale ones go: a device without any loses its neighbors. */
import { isCode } from '../base/errors.ts';
import type { InterfaceAddress } from '../base/prefix.ts';
import { IFA_F_NODAD } from '../netlink/constants.ts';
import type { Address } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import type { DesiredAddress } from './desired.ts';

/** What was done; nothing when all was as wanted. */
export interface AddressRepairs {
  readonly isRestored: boolean;
  readonly removed: readonly Address[];
}

/** Of an address, what others see of it. */
export const addressText = ({ ip, length }: InterfaceAddress): string => `${ip}/${length}`;

/** Whether an address is in the block of the wanted one, which is ours, and not the wanted one. */
export function isStale({ address, ownedWithin }: DesiredAddress, other: InterfaceAddress): boolean {
  return addressText(other) !== addressText(address) && ownedWithin.contains(other.ip);
}

/**
 * Makes one wanted address exist, and removes others of its block.
 * @param found what the device has now. @throws NetlinkError
 */
export async function ensureAddress(
  addresses: Rtnetlink['addresses'],
  desired: DesiredAddress,
  index: number,
  found: readonly Address[],
): Promise<AddressRepairs> {
  const { address } = desired;
  const wanted = addressText(address);
  const isMissing = !found.some(other => addressText(other) === wanted);
  if (isMissing) {
    // Nobody else on this device could have the address, so there is nobody to ask.
    const flags = address.ip.family === 'ipv6' ? { flags: IFA_F_NODAD } : {};
    await addresses.replace({ index, ...address, ...flags });
  }
  const stale = found.filter(other => isStale(desired, other));
  for (const { ip, length } of stale) {
    try {
      await addresses.delete({ index, ip, length });
    } catch (error) {
      if (!isCode(error, 'ENODEV', 'EADDRNOTAVAIL')) throw error;
    }
  }
  return { isRestored: isMissing, removed: stale };
}
