/** The bridge that a host's sandboxes hang on, shaped as Docker shapes `docker0`. */
import type { Mac } from '../base/mac.ts';
import type { InterfaceAddress } from '../base/prefix.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { assign } from './assign.ts';
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
  for (const address of spec.addresses) await assign(host, bridge.index, address);
  await host.links.change(bridge.index, { mtu, up: true });
  return bridge.index;
}
