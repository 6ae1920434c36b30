/** Links and addresses as the kernel lists them, of which a test says only what it is about. */
import { parseInterfaceAddress } from '../../base/prefix.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';

/** An Ethernet link that is up and has carrier. */
export const linkFixture = (index: number, name: string, more: Partial<Link> = {}): Link => ({
  index,
  name,
  type: 1,
  flags: 1,
  up: true,
  running: true,
  ...more,
});

export const bridgeFixture = (index: number, name: string): Link =>
  linkFixture(index, name, { info: { kind: 'bridge' } });

/** The host's end of a pair whose other end is in a container. @param master index of a bridge */
export const vethFixture = (index: number, name: string, master?: number): Link =>
  linkFixture(index, name, {
    info: { kind: 'veth' },
    netnsId: index,
    ...(master !== undefined && { master }),
  });

/** @param text as in `10.5.34.1/24` */
export function addressFixture(index: number, text: string): Address {
  const { ip, length } = parseInterfaceAddress(text);
  return { index, ip, length, family: ip.family, scope: 0, flags: 0, unknown: [] };
}
