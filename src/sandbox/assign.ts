/** Addresses of a bridge and of the sandboxes on it. */
import type { InterfaceAddress } from '../base/prefix.ts';
import { IFA_F_NODAD } from '../netlink/route/constants.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';

/**
 * Gives a link an address that the manager of the subnet has given to no other container. An IPv6 address is usable at once:
 * to ask the link first whether it is taken (RFC 4862, section 5.4) would make each container wait for a second or two,
 * and a bridge that has no port yet for as long as it has none.
 *
 * @throws NetlinkError
 */
export async function assign(route: Rtnetlink, index: number, address: InterfaceAddress): Promise<void> {
  const flags = address.ip.family === 'ipv6' ? { flags: IFA_F_NODAD } : {};
  await route.addresses.replace({ ...address, index, ...flags });
}
