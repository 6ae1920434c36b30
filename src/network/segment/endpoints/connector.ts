/**
 * Connects network namespaces to the L2 networks of this host, and disconnects them: an address from this host's range,
 * a veth pair into the bridge, routes. All of it or nothing; what was connected is written on the link itself
 * (endpoint-alias.ts), so that it needs no other record.
 */

import { randomBytes } from 'node:crypto';
import { TulleError } from '../../../base/errors.ts';
import type { Ip } from '../../../base/ip.ts';
import type { Logger } from '../../../base/log.ts';
import { Mac } from '../../../base/mac.ts';
import { familiesOf, type PerFamily, valuesOf } from '../../../base/per-family.ts';
import { Undo } from '../../../base/undo.ts';
import { connectRoute } from '../../../netlink/route/connect.ts';
import { RT_TABLE_MAIN } from '../../../netlink/route/constants.ts';
import type { Rtnetlink } from '../../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../../netlink/unless-gone.ts';
import { attach, detach, type EndpointRoute } from '../../../sandbox/endpoint.ts';
import type { Netns } from '../../../sys/netns.ts';
import { networkNamespaces } from '../../../sys/netns-search.ts';
import {
  type EndpointAlias,
  endpointLinkName,
  formatEndpointAlias,
  parseEndpointAlias,
} from './endpoint-alias.ts';
import type { HostEndpoints } from './host-endpoints.ts';
import type { SegmentSite } from './segment-site.ts';
import { type ConnectTarget, type FindContainer, nameOfTarget, openTarget } from './target.ts';

export interface ConnectorParts {
  readonly netns: Netns;
  readonly rtnetlink: Rtnetlink;
  readonly endpoints: Pick<HostEndpoints, 'reserve' | 'hold'>;
  readonly addresses: Addresses;
  /** @throws TulleError when the network is not on this host, with the reason. */
  readonly siteOf: (name: string) => SegmentSite;
  readonly findContainer: FindContainer;
  readonly logger: Logger;
}

/** Who gives out addresses. */
export interface Addresses {
  connect(
    name: string,
    request: { readonly container: string; readonly mac: Mac; readonly ips?: readonly Ip[] },
  ): Promise<{ readonly addresses: PerFamily<Ip>; readonly isPublished: boolean }>;
  disconnect(name: string, container: string): Promise<readonly Ip[]>;
}

export interface ConnectWish {
  readonly target: string;
  /** One of each family at most; free ones of this host's range for the others. */
  readonly ips: readonly Ip[];
  readonly mac?: Mac;
}

/** What was made. */
export interface Connected {
  readonly container: string;
  readonly addresses: PerFamily<Ip>;
  readonly mac: Mac;
  readonly mtu: number;
  /** Name of the link in the namespace, and of the host's end. */
  readonly link: string;
  readonly hostLink: string;
  /** The families that have a default route over this network now. */
  readonly gateways: PerFamily<Ip>;
  /** Whether other hosts know of it; they will, as soon as the store answers. */
  readonly isPublished: boolean;
}

export type ConnectorErrorCode =
  /** The namespace is on the network already. */
  | 'ALREADY_CONNECTED'
  /** The namespace is not on the network. */
  | 'NOT_CONNECTED';

/** A container cannot be connected or disconnected. */
export class ConnectorError extends TulleError<ConnectorErrorCode> {}

/** Names tried for the link in the namespace: eth0, eth1, ... */
const MOST_LINKS = 64;

export class Connector {
  readonly #parts: ConnectorParts;
  /** What is being connected: by name of the network, and inode of the namespace or name of the container. */
  readonly #busy = new Set<string>();

  constructor(parts: ConnectorParts) {
    this.#parts = parts;
  }

  /** @throws TargetError, ConnectorError; those of the addresses (SegmentError DUPLICATE_ADDRESS) and of the kernel */
  async connect(name: string, wish: ConnectWish): Promise<Connected> {
    const { netns, findContainer, siteOf } = this.#parts;
    const site = siteOf(name);
    using target = await openTarget(wish.target, netns, findContainer);
    const { container, netns: sandbox } = target;
    const keys = [`${name} ${sandbox.inode}`, `${name} ${container}`];
    if (keys.some(key => this.#busy.has(key))) throw alreadyConnected(name, container);
    for (const key of keys) this.#busy.add(key);
    try {
      for (const present of await this.#attached(name)) {
        if (present.netns === sandbox.inode) throw alreadyConnected(name, container);
        if (present.container === container) await this.#makeWay(present);
      }
      return await this.#connect(site, target, wish);
    } finally {
      for (const key of keys) this.#busy.delete(key);
    }
  }

  async #connect(site: SegmentSite, target: ConnectTarget, wish: ConnectWish): Promise<Connected> {
    const { addresses, endpoints, rtnetlink, logger } = this.#parts;
    const { name } = site.segment;
    const { container, netns } = target;
    const mac = wish.mac ?? Mac.random(randomBytes);
    await using undo = new Undo();
    using _ = endpoints.hold(name);
    const given = await addresses.connect(name, { container, mac, ips: wish.ips });
    undo.push('free the addresses', () => addresses.disconnect(name, container));
    const ips = valuesOf(given.addresses);
    const hostLink = endpointLinkName(site.segment, netns.inode);
    const reservation = endpoints.reserve(
      name,
      hostLink,
      ips.map(ip => ({ ip, mac, container })),
    );
    undo.push('forget the endpoint', () => reservation[Symbol.dispose]());

    // Without an alias it is what an agent that was killed had begun.
    await detach(rtnetlink, hostLink);
    await using route = connectRoute({ netns });
    const { link, gateways } = await surroundings(route, site);
    await attach(
      rtnetlink,
      { netns, route },
      {
        hostLink,
        bridge: site.bridge,
        sandboxLink: link,
        addresses: ips.map(ip => ({ ip, length: site.segment.subnets[ip.family]?.length ?? 0 })),
        routes: valuesOf(gateways).map((gateway): EndpointRoute => ({ gateway })),
        mtu: site.mtu,
        mac,
        alias: formatEndpointAlias({ name, container, netns: netns.inode, mac, ips }),
      },
    );
    undo.commit();
    const { isPublished } = given;
    logger.info({ network: name, container, link: hostLink }, 'connected a container');
    return {
      container,
      addresses: given.addresses,
      mac,
      mtu: site.mtu,
      link,
      hostLink,
      gateways,
      isPublished,
    };
  }

  /** What is left of one that is gone is removed too. @throws ConnectorError NOT_CONNECTED; those of target and kernel */
  async disconnect(
    name: string,
    text: string,
  ): Promise<{ readonly container: string; readonly ips: readonly Ip[] }> {
    const { addresses, netns, findContainer, rtnetlink } = this.#parts;
    let inode: number | undefined;
    try {
      using target = await openTarget(text, netns, findContainer);
      inode = target.netns.inode;
    } catch (error) {
      if (!(error instanceof TulleError) || error.code !== 'NO_TARGET') throw error;
    }
    const found =
      (inode === undefined ? undefined : await this.#find(name, inode)) ??
      (await this.#findNamed(name, nameOfTarget(text)));
    const container = found?.container ?? nameOfTarget(text);
    if (found !== undefined) await detach(rtnetlink, found.hostLink);
    const ips = await addresses.disconnect(name, container);
    if (found === undefined && ips.length === 0) {
      throw new ConnectorError('NOT_CONNECTED', `${container} is not connected to ${name} on this host`, {
        hint: `tulle network inspect ${name} shows what is, and where`,
      });
    }
    return { container, ips };
  }

  /**
   * A container that was started anew has a new namespace, and the kernel may not be done with the former one.
   * @throws ConnectorError when that is still in use: two must not have the addresses of one name
   */
  async #makeWay({ name, container, netns: inode, hostLink }: EndpointAlias & { readonly hostLink: string }) {
    for (const netns of networkNamespaces()) {
      using _ = netns;
      if (netns.inode === inode) throw nameInUse(name, container);
    }
    await unlessGone(detach(this.#parts.rtnetlink, hostLink));
  }

  async #find(name: string, inode: number) {
    return (await this.#attached(name)).find(({ netns }) => netns === inode);
  }

  async #findNamed(name: string, container: string) {
    return (await this.#attached(name)).find(attached => attached.container === container);
  }

  async #attached(name: string) {
    const links = await this.#parts.rtnetlink.links.list();
    return links.flatMap(link => {
      const found = parseEndpointAlias(link.alias);
      return found?.name === name ? [{ ...found, hostLink: link.name }] : [];
    });
  }
}

/** A free name for the link, and the gateways of those families that have no default route yet. */
async function surroundings(
  route: Rtnetlink,
  { segment }: SegmentSite,
): Promise<{ readonly link: string; readonly gateways: PerFamily<Ip> }> {
  const names = new Set((await route.links.list()).map(({ name }) => name));
  const link = Array.from({ length: MOST_LINKS }, (_, number) => `eth${number}`).find(
    name => !names.has(name),
  );
  const gateways: { ipv4?: Ip; ipv6?: Ip } = {};
  for (const family of familiesOf(segment.gateways)) {
    const routes = await route.routes.list({ family, table: RT_TABLE_MAIN });
    const hasDefault = routes.some(({ destination }) => destination === undefined);
    const gateway = segment.gateways[family];
    if (!hasDefault && gateway !== undefined) gateways[family] = gateway;
  }
  return { link: link ?? 'eth0', gateways };
}

function nameInUse(name: string, container: string): ConnectorError {
  const message = `another network namespace, which is in use, is connected to ${name} as ${container}`;
  return new ConnectorError('ALREADY_CONNECTED', message, {
    hint: `tulle network disconnect ${name} ${container} disconnects it`,
  });
}

function alreadyConnected(name: string, container: string): ConnectorError {
  return new ConnectorError('ALREADY_CONNECTED', `${container} is connected to ${name} already`, {
    hint: `tulle network disconnect ${name} ${container} disconnects it`,
  });
}
