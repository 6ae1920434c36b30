/**
 * What the fast path must know of the links of this host and nothing else watches: routes straight to a link, its queue,
 * and programs and filters of others at it. The kernel announces changes of them, but for programs of tcx; what is read again
 * is what has changed.
 */
import { setImmediate } from 'node:timers/promises';
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Prefix } from '../../base/prefix.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import { PROTOCOL } from '../../dataplane/tables/entry.ts';
import type { StoreLink } from '../../dataplane/tables/store.ts';
import { RT_TABLE_MAIN, RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { Route } from '../../netlink/route/objects.ts';
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { TC_H_ROOT } from '../../netlink/route/traffic-constants.ts';
import { keepFollowing } from '../keep-following.ts';
import type { LinkLook } from './link-look.ts';

/** What others have at a link, in words, by direction. */
export type ReadOthers = (link: StoreLink) => Promise<Pick<LinkLook, 'ingress' | 'egress'>>;

/** Of programs of others that are at a link unannounced. */
export type ReadOtherIds = (link: StoreLink) => Promise<readonly number[]>;

export interface LinkLooksParts {
  readonly rtnetlink: Pick<Rtnetlink, 'watch' | 'routes' | 'traffic'>;
  readonly others: ReadOthers;
  readonly otherIds: ReadOtherIds;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds between two looks at what is not announced; half a minute unless given. */
  readonly look?: number;
}

/** Milliseconds. */
const LOOK = 30_000;
const LOOK_SOON = 2000;

interface KnownOthers {
  readonly link: StoreLink;
  readonly others: Pick<LinkLook, 'ingress' | 'egress'>;
  /** In text. */
  readonly otherIds: string;
}

export class LinkLooks {
  readonly #parts: LinkLooksParts;
  /** Grows with every change; 0 until everything was read for the first time. */
  readonly version = new Watchable(0);
  /** Index of the link by destination. */
  readonly #routes = new Map<number | bigint, { readonly index: number; readonly destination: Prefix }>();
  #queues: ReadonlyMap<number, string> | undefined;
  readonly #others = new Map<number, KnownOthers>();

  constructor(parts: LinkLooksParts) {
    this.#parts = parts;
  }

  /** Destinations of routes straight to a link, by its index. */
  routes(): ReadonlyMap<number, readonly Prefix[]> {
    const routes = new Map<number, Prefix[]>();
    for (const { index, destination } of this.#routes.values()) {
      const known = routes.get(index);
      if (known === undefined) routes.set(index, [destination]);
      else known.push(destination);
    }
    return routes;
  }

  /**
   * What is at these links, and at no others; only what is not known is read.
   * @throws NetlinkError, SysError
   */
  async at(links: readonly StoreLink[]): Promise<ReadonlyMap<number, LinkLook>> {
    // What was forgotten while it was read may be what it was before: it is used once, and read again.
    const { value: before } = this.version;
    const isNew = () => this.version.value === before;
    const queues = this.#queues ?? (await this.#readQueues());
    if (isNew()) this.#queues = queues;
    const wanted = new Set(links.map(({ index }) => index));
    for (const index of this.#others.keys()) if (!wanted.has(index)) this.#others.delete(index);
    const at = new Map<number, LinkLook>();
    for (const link of links) {
      const { index } = link;
      const known = this.#others.get(index) ?? (await this.#readOthers(link));
      if (isNew()) this.#others.set(index, known);
      const { others } = known;
      const queue = queues.get(index);
      if (queue !== undefined || others.ingress.length > 0 || others.egress.length > 0)
        at.set(index, { ...others, ...(queue !== undefined && { queue }) });
    }
    return at;
  }

  /** Programs or filters at this link may be others now; undefined: at any. */
  forget(index?: number): void {
    this.#queues = undefined;
    if (index === undefined) this.#others.clear();
    else this.#others.delete(index);
    increment(this.version);
  }

  /** Follows the kernel until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const failure = 'routes and queues of links could not be read';
    await together(
      signal,
      until => keepFollowing({ ...this.#parts, failure }, onSuccess => this.#follow(until, onSuccess), until),
      until => this.#lookAgain(until),
    );
  }

  /** The ids first: what changes meanwhile is seen at the next look. */
  async #readOthers(link: StoreLink): Promise<KnownOthers> {
    const otherIds = String(await this.#parts.otherIds(link));
    return { link, otherIds, others: await this.#parts.others(link) };
  }

  async #lookAgain(signal: AbortSignal): Promise<void> {
    const { clock, look = LOOK } = this.#parts;
    let isSoon = false;
    while (!signal.aborted) {
      await clock.sleep(isSoon ? Math.min(look, LOOK_SOON) : look, signal).catch(() => undefined);
      const changed: number[] = [];
      for (const [index, { link, otherIds }] of this.#others) {
        // What cannot be looked at now is looked at the next time.
        const ids = await this.#parts.otherIds(link).catch(() => undefined);
        if (ids !== undefined && String(ids) !== otherIds) changed.push(index);
      }
      for (const index of changed) this.forget(index);
      // Who waits for it to go should not wait for half a minute.
      isSoon = changed.length > 0 || [...this.#others.values()].some(({ otherIds }) => otherIds !== '');
    }
  }

  async #follow(signal: AbortSignal, onSuccess: () => void): Promise<void> {
    const { rtnetlink } = this.#parts;
    // Watching begins before reading, so that a change in between is not missed; own routes are those to peers.
    const events = rtnetlink.watch(['route', 'traffic'], signal, { exceptOwn: true });
    await this.#readRoutes();
    this.forget();
    onSuccess();
    for await (const event of events) {
      if (event.type === 'overrun') {
        await setImmediate();
        await this.#readRoutes();
        this.forget();
      } else this.#notice(event);
    }
  }

  #notice(event: KernelEvent): void {
    if (event.type === 'traffic') this.forget(event.index);
    if (event.type !== 'route') return;
    const { route, gone } = event;
    const { oif, destination } = route;
    if (!isStraight(route) || oif === undefined || destination === undefined) return;
    const { key } = destination;
    if (!gone) this.#routes.set(key, { index: oif, destination });
    else if (this.#routes.get(key)?.index === oif) this.#routes.delete(key);
    increment(this.version);
  }

  async #readRoutes(): Promise<void> {
    await this.#parts.rtnetlink.routes.read(
      { family: 'ipv4', table: RT_TABLE_MAIN },
      {
        begin: () => this.#routes.clear(),
        each: route => {
          const { oif, destination } = route;
          if (isStraight(route) && oif !== undefined && destination !== undefined)
            this.#routes.set(destination.key, { index: oif, destination });
        },
      },
    );
  }

  async #readQueues(): Promise<ReadonlyMap<number, string>> {
    const queues = await this.#parts.rtnetlink.traffic.qdiscs();
    return new Map(
      queues.flatMap(({ index, parent, kind }) => (parent === TC_H_ROOT ? [[index, kind]] : [])),
    );
  }
}

const isStraight = ({ family, table, type, protocol, gateway, nexthopId }: Route) =>
  family === 'ipv4' &&
  table === RT_TABLE_MAIN &&
  type === RTN_UNICAST &&
  protocol !== PROTOCOL &&
  gateway === undefined &&
  nexthopId === undefined;
