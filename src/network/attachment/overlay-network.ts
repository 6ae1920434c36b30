/**
 * The overlay as a network for containers: `default`. Its bridge `tulle0` has the first address of the subnet that this host
 * leased, and is there while an engine holds an address of it.
 *
 *     container ── tulle0 ── route ── flannel.88 ══ other hosts
 *
 * Everything that counts bridges with an address of the subnet (masquerade, forwarding, warnings) counts this one.
 */
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Family, Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { followAtPace } from '../../base/pace.ts';
import { mapFamilies, perFamily } from '../../base/per-family.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { NetworkScope } from '../../dataplane/data-plane.ts';
import type { GivenAddress } from '../../ipam/address-book.ts';
import type { ReserveRequest } from '../../ipam/choose-address.ts';
import { OverlayAddresses } from '../../ipam/overlay-addresses.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { unlessGone } from '../../netlink/unless-gone.ts';
import type { ActivePlan } from '../active-plan.ts';
import { bridgeAddresses } from '../bridges.ts';
import type { HealthReporter } from '../reports.ts';
import { keepPorts } from '../segment/endpoints/endpoint-ports.ts';
import type { SharedDataPlane } from '../shared-data-plane.ts';
import type { HostNetwork } from '../underlay.ts';
import {
  type ContainerEngine,
  type ContainerNetwork,
  type NetworkWish,
  OVERLAY_NETWORK,
} from './attachments.ts';
import type { Deadline } from './deadline.ts';
import { differenceError, overlayDifferences } from './make-segment.ts';
import { type NetworkSource, notReady, reservationError } from './network-source.ts';
import {
  formerAddressWarnings,
  isOverlayBridge,
  OVERLAY_BRIDGE,
  overlayPorts,
  planOverlayBridge,
} from './overlay-bridge.ts';

export interface OverlayNetworkParts {
  readonly hostId: string;
  /** The plan and the lease in use. */
  readonly active: Watchable<ActivePlan | undefined>;
  /** Links and addresses of this host. */
  readonly host: Watchable<HostNetwork | undefined>;
  readonly dataPlane: SharedDataPlane;
  readonly rtnetlink: Rtnetlink;
  /** Of the agent. */
  readonly stateDirectory: string;
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class OverlayNetwork implements NetworkSource {
  readonly #parts: OverlayNetworkParts;
  readonly #addresses: Promise<OverlayAddresses>;
  /** Grows with every change of what is held. */
  readonly #version = new Watchable(0);
  #scope: NetworkScope | undefined;
  #stated = '';

  constructor(parts: OverlayNetworkParts) {
    this.#parts = parts;
    this.#addresses = OverlayAddresses.open(parts.stateDirectory, parts.logger);
  }

  find(name: string): ContainerNetwork | undefined {
    const { active } = this.#parts;
    return name === OVERLAY_NETWORK && active.value !== undefined ? networkOf(active.value) : undefined;
  }

  networks(): readonly ContainerNetwork[] {
    return this.#obstacle() === undefined ? [this.find(OVERLAY_NETWORK) ?? []].flat() : [];
  }

  idOf(): undefined {
    return undefined;
  }

  async ensure(wish: NetworkWish, { soon }: Deadline): Promise<ContainerNetwork> {
    const network = await this.#usable(soon);
    const differences = overlayDifferences(network, wish);
    if (differences.length === 0) return network;
    throw differenceError(wish.name, differences);
  }

  async ready(_: string, signal: AbortSignal): Promise<ContainerNetwork> {
    const network = await this.#usable(signal);
    for await (const _ of this.#parts.dataPlane.rounds.changes(signal)) {
      if (this.#bridge !== undefined) return network;
    }
    throw notReady(OVERLAY_NETWORK, this.#obstacle() ?? this.#bridgeObstacle());
  }

  async reserve(_: string, request: ReserveRequest, signal: AbortSignal): Promise<Ip> {
    const isElsewhere = request.engine === WITHOUT_BRIDGE;
    const network = await this.#usable(signal, isElsewhere);
    if (!isElsewhere && this.#scope === undefined) await this.#checkBridges();
    try {
      return await (await this.#addresses).reserve(request, network);
    } catch (error) {
      throw reservationError(error);
    } finally {
      increment(this.#version);
    }
  }

  async release(_: string, ip: Ip): Promise<void> {
    await (await this.#addresses).release(ip);
    increment(this.#version);
  }

  async held(): Promise<readonly GivenAddress[]> {
    return (await this.#addresses).held();
  }

  async holder(_: string, ip: Ip): Promise<GivenAddress | undefined> {
    return (await this.#addresses).holder(ip);
  }

  /** Packets find a container by its address: nobody is told of it. */
  attaching(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  /** Follows the lease and what is held until `signal` aborts; the kernel stays as it is. */
  async run(signal: AbortSignal): Promise<void> {
    const { active, host, dataPlane, clock } = this.#parts;
    const addresses = await this.#addresses;
    if (addresses.size === 0) await this.#removeFormer();
    const changed = () => increment(this.#version);
    await together(
      signal,
      until => active.follow(changed, until),
      until => host.follow(changed, until),
      until => followAtPace(this.#version, clock, () => this.#state(addresses), until),
      until => this.#keepPorts(dataPlane.rounds, until),
    );
    await addresses.close();
  }

  /** @param isElsewhere for links on a bridge of others, beside which there is none of ours */
  async #usable(signal: AbortSignal, isElsewhere = false): Promise<ContainerNetwork> {
    const { active } = this.#parts;
    try {
      await active.until(plan => plan !== undefined, signal);
    } catch {
      throw notReady(OVERLAY_NETWORK, NO_LEASE);
    }
    const network = this.find(OVERLAY_NETWORK);
    const obstacle = isElsewhere ? this.#ownBridge : this.#obstacle();
    if (network !== undefined && obstacle === undefined) return network;
    throw notReady(OVERLAY_NETWORK, obstacle ?? NO_LEASE);
  }

  get #ownBridge(): { readonly reason: string; readonly hint: string } | undefined {
    if (this.#scope === undefined) return undefined;
    const reason = `containers are on ${OVERLAY_BRIDGE}, which has the address that another bridge would need`;
    return { reason, hint: 'use the type tulle for all containers of this host' };
  }

  /** States the bridge while it is needed. */
  #state(addresses: OverlayAddresses): void {
    const { active, health, dataPlane, hostId } = this.#parts;
    if (active.value === undefined) return;
    const network = networkOf(active.value);
    const held = addresses.held();
    health.warn('attachments', formerAddressWarnings(held, network.subnets));
    // What is in use stays, whoever else takes the subnet.
    const isUsed = held.some(({ engine }) => engine !== WITHOUT_BRIDGE);
    const isWanted = isUsed && (this.#scope !== undefined || this.#obstacle() === undefined);
    const desired = isWanted ? planOverlayBridge(network, active.value.host.networks, hostId) : undefined;
    const text = desired === undefined ? '' : JSON.stringify(desired);
    if (text === this.#stated) return;
    this.#stated = text;
    if (desired === undefined) {
      this.#scope?.remove();
      this.#scope = undefined;
    } else {
      this.#scope ??= dataPlane.network('containers');
      this.#scope.setHost(desired);
    }
    // The data plane itself tries again what fails.
    void dataPlane.apply().catch(() => undefined);
  }

  /** An agent that was killed between its last container and the end of the bridge has left it. */
  async #removeFormer(): Promise<void> {
    const { rtnetlink, hostId, logger } = this.#parts;
    try {
      const link = await rtnetlink.links.get(OVERLAY_BRIDGE);
      if (link !== undefined && isOverlayBridge(link, hostId))
        await unlessGone(rtnetlink.links.delete(link.index));
    } catch (error) {
      logger.warn({ error: messageOf(error) }, `a former ${OVERLAY_BRIDGE} could not be removed`);
    }
  }

  /** A bridge that was made anew gets its ports again, and all have the MTU of the overlay. */
  async #keepPorts(rounds: Watchable<number>, signal: AbortSignal): Promise<void> {
    const { active, host, rtnetlink, logger, clock } = this.#parts;
    const keep = async () => {
      const bridge = this.#bridge;
      if (bridge === undefined || active.value === undefined) return;
      const { mtu } = networkOf(active.value);
      try {
        await keepPorts(rtnetlink, overlayPorts(host.value?.links ?? []), { bridge, mtu });
      } catch (error) {
        logger.warn({ error: messageOf(error) }, `ports of ${OVERLAY_BRIDGE} could not be kept`);
      }
    };
    await followAtPace(rounds, clock, keep, signal);
  }

  get #bridge(): number | undefined {
    return this.#scope?.report().links.find(({ name, inSync }) => name === OVERLAY_BRIDGE && inSync)?.index;
  }

  /** What is known of the host is older than a bridge that was made a moment ago. @throws AttachmentError NOT_READY, NetlinkError */
  async #checkBridges(): Promise<void> {
    const { host, rtnetlink } = this.#parts;
    if (host.value === undefined) return;
    const [links, addresses] = await Promise.all([rtnetlink.links.list(), rtnetlink.addresses.list()]);
    const obstacle = this.#obstacle({ ...host.value, links, addresses });
    if (obstacle !== undefined) throw notReady(OVERLAY_NETWORK, obstacle);
  }

  /** Two bridges with the same subnet: containers of one would not reach those of the other, nor answers find them. */
  #obstacle(host = this.#parts.host.value): { readonly reason: string; readonly hint: string } | undefined {
    const { active } = this.#parts;
    if (active.value === undefined) return NO_LEASE;
    if (host === undefined) return undefined;
    const other = bridgeAddresses(host, active.value).find(({ link }) => link !== OVERLAY_BRIDGE);
    return (
      other && {
        reason: `${other.link} has ${other.ip}, an address of the leased subnet`,
        hint: OTHER_BRIDGE,
      }
    );
  }

  #bridgeObstacle(): { readonly reason: string; readonly hint: string } {
    const hint = 'tulle status shows what is missing; try again when it is there';
    const { links = [], failures = [] } = this.#scope?.report() ?? {};
    const reason = links.find(link => !link.inSync)?.reason ?? failures[0] ?? 'its bridge is not there yet';
    return { reason, hint };
  }
}

/** What holds addresses for links on bridges of others. */
const WITHOUT_BRIDGE: ContainerEngine = 'cni-ipam';

const NO_LEASE = {
  reason: 'this host has no lease yet',
  hint: 'tulle status shows what is missing; try again when it is there',
};
const OTHER_BRIDGE =
  'give that bridge another subnet (`bip` of Docker, `subnet` of CNI), or use the network that it has already';

function networkOf({ plan, lease: { subnet } }: ActivePlan): ContainerNetwork {
  const subnets = mapFamilies(subnet, block => block);
  return {
    name: OVERLAY_NETWORK,
    kind: 'overlay',
    subnets,
    networks: perFamily((family: Family) => plan.config[family]?.network),
    gateways: mapFamilies(subnets, ({ ip }) => ip.plus(1)),
    internal: false,
    bridge: OVERLAY_BRIDGE,
    mtu: plan.backend.overlayMtu,
  };
}
