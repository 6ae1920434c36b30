/**
 * What is on one L2 network on this host: listens to its bridge, follows which stations the bridge has learned, and
 * says which endpoints that makes.
 */
import type { Clock } from '../../../base/clock.ts';
import type { Ip } from '../../../base/ip.ts';
import type { Logger } from '../../../base/log.ts';
import type { Mac } from '../../../base/mac.ts';
import { familiesOf, valuesOf } from '../../../base/per-family.ts';
import type { RefusedStation } from '../../../firewall/bridge/guard-table.ts';
import type { FdbEntry } from '../../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../../netlink/route/rtnetlink.ts';
import { type EndpointConflict, isMacConflict } from '../../../subnet/segment/presence-plan.ts';
import {
  isContainerName,
  type SegmentEndpoint,
  type SegmentHost,
  type SegmentSnapshot,
} from '../../../subnet/segment/segment.ts';
import type { Netns } from '../../../sys/netns.ts';
import { type AttachedEndpoint, type LocalEndpoint, LocalEndpoints } from './local-endpoints.ts';
import { NeighborObserver } from './neighbor-observer.ts';
import type { SegmentSite } from './segment-site.ts';
import { type BridgeLinks, type Station, Stations } from './stations.ts';

export interface SegmentEndpointsOptions {
  readonly site: SegmentSite;
  readonly links: BridgeLinks;
  readonly netns: Netns;
  readonly rtnetlink: Pick<Rtnetlink, 'fdb'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Name of a link. */
  readonly linkName: (index: number) => string | undefined;
  /** Something is different now, or `probe` has something to do. */
  readonly onChange: () => void;
}

/** A station that uses an address of another one, and whose it is. */
export interface Duplicate {
  readonly ip: Ip;
  readonly mac: Mac;
  readonly container: string;
  /** It is the MAC address that both have. */
  readonly isOfMac: boolean;
  /** A container, its host unless it is this one; or the gateway. */
  readonly owner: string;
}

const GATEWAY = 'the gateway';
/** Addresses of those that are gone. */
const MOST_FORMER = 4096;

export class SegmentEndpoints implements Disposable {
  readonly #options: SegmentEndpointsOptions;
  readonly #stations: Stations;
  readonly #local: LocalEndpoints;
  readonly #observer: NeighborObserver;
  /** The last known MAC address of each address, also of those that are gone: stations of this host may know it still. */
  readonly #macs = new Map<number | bigint, Mac>();
  #followed: SegmentSnapshot['endpoints'] | undefined;
  /** Announced while the entries are being read; undefined afterwards. */
  #early: { readonly entry: FdbEntry; readonly gone: boolean }[] | undefined = [];

  /** Begins to listen. @throws SysError ENODEV for a bridge that is gone */
  constructor(options: SegmentEndpointsOptions) {
    this.#options = options;
    const { site, links, clock, netns, logger, onChange } = options;
    const subnets = valuesOf(site.segment.subnets);
    this.#stations = new Stations(links);
    this.#local = new LocalEndpoints({
      isUsable: ip => subnets.some(subnet => subnet.contains(ip)),
      isLocal: mac => this.#stations.get(mac) !== undefined,
    });
    this.#observer = NeighborObserver.open({
      netns,
      link: links.bridge,
      families: familiesOf(site.segment.subnets),
      mac: site.gatewayMac,
      clock,
      logger,
      onMessage: ({ claim, wanted }) => {
        const now = clock.monotonic();
        if (claim !== undefined && !claim.mac.equals(site.gatewayMac))
          this.#local.said(claim.ip, claim.mac, now);
        if (wanted !== undefined) this.#local.wanted(wanted, now);
        onChange();
      },
    });
  }

  get site(): SegmentSite {
    return this.#options.site;
  }

  get links(): BridgeLinks {
    return this.#options.links;
  }

  /** Reads what the bridge has learned, also anew after announcements were lost. @throws NetlinkError */
  async readStations(): Promise<void> {
    const early: { readonly entry: FdbEntry; readonly gone: boolean }[] = [];
    this.#early = early;
    const entries = await this.#options.rtnetlink.fdb.list(this.links.bridge);
    this.#early = undefined;
    for (const change of this.#stations.replace(entries)) this.#follow(change.station, change.gone);
    for (const { entry, gone } of early) this.announced(entry, gone);
    this.#options.onChange();
  }

  /** An entry of any bridge came or went. */
  announced(entry: FdbEntry, gone: boolean): void {
    if (entry.master !== this.links.bridge) return;
    if (this.#early !== undefined) this.#early.push({ entry, gone });
    else {
      const change = this.#stations.apply(entry, gone);
      if (change !== undefined) this.#follow(change.station, gone);
    }
  }

  /** A link of this host was deleted. Its entries of the bridge were announced before. */
  portDeleted(port: number): void {
    this.#local.portDeleted(port);
  }

  /** What this host had published before. */
  remember(endpoints: readonly SegmentEndpoint[]): void {
    for (const endpoint of endpoints) this.#local.remember(endpoint, this.#options.clock.monotonic());
  }

  /** What is known from who attached it. */
  setAttached(endpoints: readonly AttachedEndpoint[]): void {
    const { segment, gatewayMac } = this.site;
    const gateways = valuesOf(segment.gateways).map(ip => ({ ip, mac: gatewayMac, container: GATEWAY }));
    this.#local.setAttached([...gateways, ...endpoints]);
  }

  /** Asks what is to be asked now. @returns when there is more to ask, on the monotonic clock */
  probe(): number {
    for (const ip of this.#local.probesDue(this.#options.clock.monotonic())) this.#observer.probe(ip);
    return this.#local.due;
  }

  /**
   * What is published on all hosts. An address that has another MAC address than before is announced on this host: the bridge
   * answers for it from now on, but what has asked before knows the former one for up to a minute, and no announcement of the
   * other host crosses the tunnel.
   */
  follow({ endpoints }: Pick<SegmentSnapshot, 'endpoints'>): void {
    if (endpoints === this.#followed) return;
    this.#followed = endpoints;
    for (const [key, { ip, mac }] of endpoints) {
      if (this.#macs.get(key)?.equals(mac) === false) this.#observer.announce(ip, mac);
      this.#macs.set(key, mac);
    }
    for (const key of this.#macs.keys()) {
      if (this.#macs.size <= endpoints.size + MOST_FORMER) break;
      if (!endpoints.has(key)) this.#macs.delete(key);
    }
  }

  /** What is to be published, in the order of addresses. */
  published(host: SegmentHost): readonly SegmentEndpoint[] {
    const { gatewayMac } = this.site;
    return this.#local.endpoints
      .filter(({ mac }) => !mac.equals(gatewayMac))
      .sort((a, b) => a.ip.compare(b.ip))
      .map(({ ip, mac, container }) => ({ ...host, ip, mac, container: container ?? this.#nameOf(mac) }));
  }

  get stations(): Iterable<{ readonly mac: Mac }> {
    return this.#stations.values();
  }

  /** @param conflicts with endpoints of other hosts */
  duplicates(conflicts: readonly EndpointConflict[]): readonly Duplicate[] {
    const foreign = conflicts
      .filter(({ segment }) => segment === this.site.segment.name)
      .map(conflict => ({ ...conflict, isOfMac: isMacConflict(conflict) }))
      .map(({ endpoint, owner, isOfMac }) => ({
        ip: endpoint.ip,
        mac: endpoint.mac,
        container: endpoint.container,
        isOfMac,
        owner: `${owner.container} on ${owner.hostName ?? owner.hostId}`,
      }));
    const own = this.#local.rivals.map(({ ip, mac, owner }) => ({
      ip,
      mac,
      container: this.#nameOf(mac),
      isOfMac: false,
      owner: nameOfOwner(owner, this.#nameOf(owner.mac)),
    }));
    return [...foreign, ...own];
  }

  /** Where duplicates are: one whose port is not known yet, or no more, sends nothing. */
  refused(duplicates: readonly Duplicate[]): readonly RefusedStation[] {
    return duplicates.flatMap(({ ip, mac }) => {
      const port = this.#portOf(mac);
      return port === undefined ? [] : [{ ip, mac, port }];
    });
  }

  [Symbol.dispose](): void {
    this.#observer[Symbol.dispose]();
  }

  #follow({ mac, port }: Station, gone: boolean): void {
    if (gone) this.#local.stationWent(mac, port, this.#options.clock.monotonic());
    else this.#local.stationCame(mac);
    this.#options.onChange();
  }

  /** Of a container that nobody has named: the link behind which it is. */
  #nameOf(mac: Mac): string {
    const port = this.#portOf(mac);
    return port !== undefined && isContainerName(port) ? port : mac.toString();
  }

  #portOf(mac: Mac): string | undefined {
    const station = this.#stations.get(mac);
    return station && this.#options.linkName(station.port);
  }
}

const nameOfOwner = ({ container }: LocalEndpoint, port: string) =>
  container === undefined
    ? `${port} on this host`
    : container === GATEWAY
      ? GATEWAY
      : `${container} on this host`;
