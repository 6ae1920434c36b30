/** The bridge of a host's sandboxes, shaped as Docker shapes `docker0`, and the addresses on it. */
import type { Mac } from '../base/mac.ts';
import type { InterfaceAddress } from '../base/prefix.ts';
import { IFA_F_NODAD } from '../netlink/route/constants.ts';
import type { NewAddress } from '../netlink/route/objects.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { SandboxError } from './errors.ts';

export interface BridgeSpec {
  readonly name: string;
  /**
   * Its own address. Without one a bridge takes the lowest address among its ports and changes it as they come
   * and go, which makes every sandbox forget its gateway for a while.
   */
  readonly mac: Mac;
  /** The gateway of the sandboxes. */
  readonly addresses: readonly InterfaceAddress[];
  readonly mtu: number;
}

/**
 * Makes the bridge, or adjusts one that is there. Returns its index.
 *
 * @throws SandboxError when a link of that name is no bridge; NetlinkError.
 */
export async function ensureBridge(host: Rtnetlink, spec: BridgeSpec): Promise<number> {
  const { name, mac, mtu } = spec;
  if ((await host.links.get(name)) === undefined) {
    await host.links.add({ name, mac, info: { kind: 'bridge' } });
  }
  const bridge = await host.links.get(name);
  if (bridge?.info?.kind !== 'bridge') throw SandboxError.noBridge(name);
  for (const address of spec.addresses) await host.addresses.replace(assigned(bridge.index, address));
  await host.links.change(bridge.index, { mtu, up: true });
  return bridge.index;
}

/**
 * An address of a link that the manager of the subnet has given to no other container. An IPv6 address is usable at once:
 * to ask the link first whether it is taken (RFC 4862, section 5.4) would make each container wait for a second or two,
 * and a bridge that has no port yet for as long as it has none.
 */
export function assigned(index: number, address: InterfaceAddress): NewAddress {
  const flags = address.ip.family === 'ipv6' ? { flags: IFA_F_NODAD } : {};
  return { ...address, index, ...flags };
}
