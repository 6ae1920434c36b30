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

export interface AddressChanges {
  readonly addresses: Rtnetlink['addresses'];
  /** Index of the device. */
  readonly index: number;
  /** Does what concerns one address; notes a refusal and goes on. */
  readonly attempt: (address: InterfaceAddress, work: () => Promise<void>) => Promise<void>;
  readonly onAdded: (address: InterfaceAddress) => void;
  readonly onRemoved: (address: InterfaceAddress) => void;
}

/**
 * Makes a device have these addresses and no others. True when the kernel may have dropped entries of the device with what
 * was changed. @throws NetlinkError
 */
export async function ensureAddresses(
  wanted: readonly InterfaceAddress[],
  { addresses, index, attempt, onAdded, onRemoved }: AddressChanges,
): Promise<boolean> {
  const present = await addresses.list({ index });
  let entriesLost = false;
  for (const address of wanted) {
    if (present.some(other => addressText(other) === addressText(address))) continue;
    await attempt(address, async () => {
      // No other host is on this device, so duplicate address detection (RFC 4862) has no host to ask.
      const flags = address.ip.family === 'ipv6' ? { flags: IFA_F_NODAD } : {};
      await addresses.replace({ index, ...address, ...flags });
      entriesLost = true;
      onAdded(address);
    });
  }
  for (const address of superfluous(wanted, present)) {
    await attempt(address, async () => {
      await removeAddress(addresses, address);
      if (!hasFamily(wanted, address)) entriesLost = true;
      onRemoved(address);
    });
  }
  return entriesLost;
}

/** With the last address of a family the kernel drops the routes of the device, unannounced (net/ipv4, fib_disable_ip). */
export const hasFamily = (wanted: readonly InterfaceAddress[], { ip }: InterfaceAddress): boolean =>
  wanted.some(address => address.ip.family === ip.family);

/** Already gone is success: a secondary address goes with its primary one. @throws NetlinkError */
async function removeAddress(
  addresses: Rtnetlink['addresses'],
  { index, ip, length }: Address,
): Promise<void> {
  try {
    await addresses.delete({ index, ip, length });
  } catch (error) {
    if (!isCode(error, 'ENODEV', 'EADDRNOTAVAIL')) throw error;
  }
}
