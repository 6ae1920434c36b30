/**
 * This room attaches the network namespaces of containers to a bridge of their host. Names, addresses and routes are
 * given to it: how they are chosen, and what a container is to Docker, the lab or CNI, does not belong here.
 *
 * An endpoint: the attachment of a sandbox (a container's network namespace) to a bridge of its host.
 *
 *     sandbox                    host
 *     eth0 ====== veth pair ====== hostLink --- bridge
 *
 * `attach` makes the whole of it or nothing. Deleting the host's end removes both, and with them the addresses
 * and routes of the inner end, so `detach` needs no record of what was made.
 */
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { InterfaceAddress, Prefix } from '../base/prefix.ts';
import { Undo } from '../base/undo.ts';
import { change } from '../netlink/route/change.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { Netns } from '../sys/netns.ts';
import { assigned } from './bridge.ts';
import { SandboxError } from './errors.ts';

/** What the endpoint should be. */
export interface EndpointSpec {
  /** Name of the host's end, unique on the host; at most 15 bytes. */
  readonly hostLink: string;
  /** Name of the bridge that the host's end becomes a port of. */
  readonly bridge: string;
  /** Name of the sandbox's end, usually `eth0`. */
  readonly sandboxLink: string;
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly EndpointRoute[];
  /** MTU of both ends. */
  readonly mtu: number;
  /** Of the sandbox's end; the kernel chooses one when absent. */
  readonly mac?: Mac;
  /** A text for the host's end, at most 255 bytes: `ip link` shows it, and it is gone with the link. */
  readonly alias?: string;
}

export interface EndpointRoute {
  /** Absent: the default route. */
  readonly destination?: Prefix;
  /** Absent: the destination is on the link. */
  readonly gateway?: Ip;
}

/** A sandbox is a namespace and a connection into it. */
export interface Sandbox {
  readonly netns: Netns;
  readonly route: Rtnetlink;
}

/**
 * Attaches `sandbox` as `spec` says, and brings its loopback up.
 *
 * @param host connection into the namespace of the bridge.
 * @throws SandboxError when there is no such bridge; NetlinkError when the kernel refuses a step, for example
 *   EEXIST for a name that is taken on either side. Nothing remains of a failed attempt.
 */
export async function attach(host: Rtnetlink, sandbox: Sandbox, spec: EndpointSpec): Promise<void> {
  const bridge = await host.links.get(spec.bridge);
  if (bridge?.info?.kind !== 'bridge') throw SandboxError.noBridge(spec.bridge);

  await using undo = new Undo();
  await host.links.add({
    name: spec.hostLink,
    mtu: spec.mtu,
    info: {
      kind: 'veth',
      // The inner end is created in the sandbox, so its name cannot collide with one of the host's.
      peer: {
        name: spec.sandboxLink,
        mtu: spec.mtu,
        netnsFd: sandbox.netns.fd,
        ...(spec.mac === undefined ? {} : { mac: spec.mac }),
      },
    },
  });
  undo.push(`delete ${spec.hostLink}`, () => detach(host, spec.hostLink));

  await configure(sandbox.route, spec);
  // The port joins last: nothing reaches the sandbox before it has its addresses. The kernel gives it its alias before that.
  const alias = spec.alias === undefined ? {} : { alias: spec.alias };
  await host.links.change(spec.hostLink, { ...alias, master: bridge.index, up: true });
  undo.commit();
}

/** Removes the endpoint whose host's end has this name; false when there is none. */
export async function detach(host: Rtnetlink, hostLink: string): Promise<boolean> {
  const link = await host.links.get(hostLink);
  if (link === undefined) return false;
  await host.links.delete(link.index);
  return true;
}

/** Brings the loopback up as well. In one piece: each request waits for whoever else changes links on this host. */
async function configure(route: Rtnetlink, spec: EndpointSpec): Promise<void> {
  const link = await route.links.get(spec.sandboxLink);
  if (link === undefined) throw SandboxError.vanished(spec.sandboxLink);
  const { index } = link;
  const results = await route.apply([
    change.changeLink('lo', { up: true }),
    ...spec.addresses.map(address => change.replaceAddress(assigned(index, address))),
    change.changeLink(index, { up: true }),
    ...spec.routes.map(way => change.replaceRoute({ ...way, oif: index })),
  ]);
  const refused = results.find(result => result !== undefined);
  if (refused !== undefined) throw refused;
}
