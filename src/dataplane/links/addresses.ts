/**
 * The addresses of one device. All of a device of ours are ours: one that is not wanted goes, because the kernel takes
 * the first of them as the source of what this host sends. Wanted ones are added before, as a device without any loses
 * its neighbors.
 */
import { isCode } from '../../base/errors.ts';
import type { InterfaceAddress } from '../../base/prefix.ts';
import { IFA_F_NODAD } from '../../netlink/route/constants.ts';
import type { Address } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';

/** Of an address, what others see of it. */
export const addressText = ({ ip, length }: InterfaceAddress): string => `${ip}/${length}`;

/** Of what a device has, the addresses that are not to be there. */
export function superfluous<Found extends InterfaceAddress>(
  wanted: readonly InterfaceAddress[],
  found: readonly Found[],
): Found[] {
  const texts = new Set(wanted.map(addressText));
  // Those of the link itself are the kernel's own affair.
  return found.filter(address => !address.ip.isLinkLocal && !texts.has(addressText(address)));
}

/** Makes one wanted address exist. True when it did not. @param found what the device has. @throws NetlinkError */
export async function ensureAddress(
  addresses: Rtnetlink['addresses'],
  wanted: InterfaceAddress,
  index: number,
  found: readonly Address[],
): Promise<boolean> {
  if (found.some(other => addressText(other) === addressText(wanted))) return false;
  // Nobody else on this device could have the address, so there is nobody to ask.
  const flags = wanted.ip.family === 'ipv6' ? { flags: IFA_F_NODAD } : {};
  await addresses.replace({ index, ...wanted, ...flags });
  return true;
}

/** Already gone is success: a secondary address goes with its primary one. @throws NetlinkError */
export async function removeAddress(
  addresses: Rtnetlink['addresses'],
  { index, ip, length }: Address,
): Promise<void> {
  try {
    await addresses.delete({ index, ip, length });
  } catch (error) {
    if (!isCode(error, 'ENODEV', 'EADDRNOTAVAIL')) throw error;
  }
}
