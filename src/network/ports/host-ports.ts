/**
 * The published ports of this host. Each is a bound socket, so that nobody else gets the port, and an element of a map in
 * the kernel (src/firewall/ports), which goes on without the agent.
 */
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Watchable } from '../../base/watchable.ts';
import { bridgeElements } from '../../firewall/ports/port-elements.ts';
import type { PortMaps } from '../../firewall/ports/port-maps.ts';
import { RuleKeeper } from '../../firewall/rule-keeper.ts';
import { AttachmentError, type PublishedMapping } from '../attachment/attachments.ts';
import type { PortMapping } from '../attachment/port-mapping.ts';
import type { HealthReporter } from '../reports.ts';
import { type HoldPort, releaseAll, takeAgain, takePort } from './port-holds.ts';
import { reportLost, reportRules } from './port-report.ts';
import { checkPorts, listeningAddresses, publishingFamilies } from './port-wish.ts';
import {
  containerText,
  elementsOfPublication,
  formerPublication,
  type HeldMapping,
  isPublished,
  type Publication,
  portsOfPublication,
} from './publication.ts';
import type { FormerPublication, PortPublisher, PublishedPort, PublishWish } from './publisher.ts';

export interface HostPortsParts {
  readonly maps: Pick<PortMaps, 'set' | 'apply' | 'comments'>;
  readonly hold: HoldPort;
  /** Which program has a port, as a text. */
  readonly holderOf: (protocol: PortMapping['protocol'], port: number) => string | undefined;
  /** What the container of an attachment is called now; when its ports were published that may not have been known. */
  readonly containerOf: (id: string) => string | undefined;
  /** Whether packets from 127.0.0.1 may go out over a bridge. A bridge that is gone is no error. */
  readonly routeLocalnet: (bridge: string, isOn: boolean) => void;
  /** Whether rules see what a bridge forwards (br_netfilter): who asks for its own port is then answered by the bridge. */
  readonly filtersBridges: () => boolean;
  /** Lets frames of an attachment leave by the port of the bridge that they came in by; false while it is not there. */
  readonly turnBack: (id: string) => Promise<boolean>;
  /** Links of this host: a bridge that is made anew has its own parameters. */
  readonly host: Pick<Watchable<unknown>, 'changes'>;
  /** Yields whenever rules were changed in the kernel, until the signal aborts. */
  readonly ruleChanges: (signal: AbortSignal) => AsyncIterable<void>;
  readonly health: Pick<HealthReporter, 'warn'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class HostPorts implements PortPublisher, Disposable {
  readonly #parts: HostPortsParts;
  readonly #published = new Map<string, Publication>();
  readonly #keeper: RuleKeeper<void>;
  /** How many publications there are behind each bridge. */
  readonly #bridges = new Map<string, number>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(parts: HostPortsParts) {
    this.#parts = parts;
    this.#keeper = new RuleKeeper({
      apply: () => this.#inOrder(() => this.#compare()),
      changes: parts.ruleChanges,
      clock: parts.clock,
      logger: parts.logger,
      onState: failure => reportRules(parts.health, failure),
      what: 'published ports',
    });
  }

  /** Keeps the rules as they were stated until `signal` aborts; the rules stay. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#keeper.run(until),
      until => this.#followLinks(until),
    );
  }

  async #followLinks(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#parts.host.changes(signal)) {
      try {
        this.#routeBridges();
      } catch {
        // The comparison says why, and tries again.
        this.#keeper.wake();
      }
    }
  }

  publish(wish: PublishWish): Promise<readonly PublishedMapping[]> {
    return this.#inOrder(async () => {
      checkPorts(wish);
      const present = this.#published.get(wish.id);
      if (present !== undefined && isPublished(present, wish)) {
        // Its link may be another one than before.
        await this.#turnBack(present);
        return present.ports.map(({ mapping }) => mapping);
      }
      if (present !== undefined) this.#drop(present);
      const ports = this.#take(wish);
      if (ports.length === 0) return [];
      const publication: Publication = {
        wish,
        ports,
        since: new Date(this.#parts.clock.now()),
        turnsBack: false,
      };
      try {
        this.#published.set(wish.id, publication);
        this.#count(wish.network.bridge, 1);
        if (this.#state(publication)) await this.#parts.maps.apply();
        // Not before the guard of the bridge is there.
        this.#parts.routeLocalnet(wish.network.bridge, true);
        await this.#turnBack(publication);
      } catch (error) {
        this.#drop(publication);
        throw error;
      }
      return ports.map(({ mapping }) => mapping);
    });
  }

  withdraw(id: string): Promise<void> {
    return this.#inOrder(async () => {
      const publication = this.#published.get(id);
      if (publication !== undefined) this.#drop(publication);
    });
  }

  restore(former: readonly FormerPublication[]): Promise<void> {
    return this.#inOrder(async () => {
      const comments = this.#parts.maps.comments();
      const now = new Date(this.#parts.clock.now());
      for (const wish of former) {
        if (this.#published.has(wish.id)) continue;
        const publication = formerPublication(wish, comments, now);
        this.#published.set(wish.id, publication);
        this.#count(wish.network.bridge, 1);
        this.#state(publication);
      }
      this.#keeper.set();
      // What fails is reported by the keeper, which tries again.
      await this.#compare().catch(() => undefined);
    });
  }

  list(): readonly PublishedPort[] {
    return [...this.#published.values()]
      .flatMap(publication =>
        portsOfPublication({
          ...publication,
          wish: { ...publication.wish, container: this.#containerOf(publication.wish) },
        }),
      )
      .sort(
        (a, b) => a.hostPort - b.hostPort || (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : 0),
      );
  }

  /** Gives up the sockets; packets flow on. */
  [Symbol.dispose](): void {
    for (const { ports } of this.#published.values()) for (const { holds } of ports) releaseAll(holds);
  }

  /** All or none. */
  #take(wish: PublishWish): HeldMapping[] {
    const families = publishingFamilies(wish);
    const taken: HeldMapping[] = [];
    try {
      for (const mapping of families.length === 0 ? [] : wish.mappings) {
        const ips = listeningAddresses(mapping, families);
        if (ips.length === 0) {
          const problem = `${mapping.hostIp} cannot lead to a container without such an address`;
          throw new AttachmentError('INVALID_WISH', problem);
        }
        const { port, holds } = takePort(this.#parts.hold, mapping, ips, (protocol, _, at) =>
          this.#ownerOf(protocol, at),
        );
        const { hostPortEnd: _, ...rest } = mapping;
        taken.push({ mapping: { ...rest, hostPort: port }, holds });
      }
      return taken;
    } catch (error) {
      for (const { holds } of taken) releaseAll(holds);
      throw error;
    }
  }

  #containerOf({ id, container }: PublishWish): string {
    return this.#parts.containerOf(id) ?? (container || id);
  }

  #ownerOf(protocol: PortMapping['protocol'], port: number): string | undefined {
    for (const { wish, ports } of this.#published.values()) {
      const isOwner = ports.some(({ mapping }) => mapping.protocol === protocol && mapping.hostPort === port);
      if (!isOwner) continue;
      return `${containerText(wish.id, this.#containerOf(wish))} on the network ${wish.network.name}`;
    }
    return this.#parts.holderOf(protocol, port);
  }

  /** @returns whether the maps must be applied */
  #state(publication: Publication): boolean {
    const { wish } = publication;
    const { maps } = this.#parts;
    const { bridge, subnets } = wish.network;
    const isNewBridge = maps.set(`bridge ${bridge}`, bridgeElements(bridge, subnets));
    const isNew = maps.set(`attachment ${wish.id}`, elementsOfPublication(publication));
    return isNewBridge || isNew;
  }

  /** What cannot be removed now is removed when the rules are compared. */
  #drop({ wish, ports }: Publication): void {
    const { maps, logger } = this.#parts;
    const { bridge } = wish.network;
    this.#published.delete(wish.id);
    for (const { holds } of ports) releaseAll(holds);
    try {
      let needsApply = maps.set(`attachment ${wish.id}`, []);
      if (this.#count(bridge, -1) === 0) {
        this.#parts.routeLocalnet(bridge, false);
        if (maps.set(`bridge ${bridge}`, [])) needsApply = true;
      }
      if (needsApply) this.#keeper.set();
    } catch (error) {
      logger.warn({ attachment: wish.id, error: messageOf(error) }, 'ports could not be withdrawn at once');
      this.#keeper.set();
    }
  }

  async #compare(): Promise<void> {
    await this.#parts.maps.apply();
    this.#routeBridges();
    for (const publication of this.#published.values())
      if (!publication.turnsBack) await this.#turnBack(publication);
    for (const { ports } of this.#published.values())
      for (const { holds } of ports) for (const one of holds) takeAgain(this.#parts.hold, one);
    reportLost(this.#parts, this.list());
  }

  #routeBridges(): void {
    for (const bridge of this.#bridges.keys()) this.#parts.routeLocalnet(bridge, true);
  }

  async #turnBack(publication: Publication): Promise<void> {
    if (this.#parts.filtersBridges()) publication.turnsBack = await this.#parts.turnBack(publication.wish.id);
  }

  /** How many there are now. */
  #count(bridge: string, change: 1 | -1): number {
    const count = (this.#bridges.get(bridge) ?? 0) + change;
    if (count === 0) this.#bridges.delete(bridge);
    else this.#bridges.set(bridge, count);
    return count;
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
