/**
 * What Docker tells outside of the plugin's calls: the names of networks and containers, and what it still has. Its events
 * are followed; whenever the connection is new, everything is compared. A call never waits for this but for the name of a
 * new network.
 *
 *     network create      name of the network           ─> it is made or joined
 *     network connect     endpoint of a container       ─> names of the container
 *     container rename    the same
 */
import { together } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Wakeup } from '../../base/wakeup.ts';
import { type DockerApi, DockerError } from '../../docker/docker-api.ts';
import type { DockerEvent, DockerNetworkState } from '../../docker/docker-messages.ts';
import { NamesOfContainers } from './names-of-containers.ts';

export interface DockerFollowerParts {
  readonly docker: Pick<DockerApi, 'networks' | 'network' | 'events' | 'endpoints'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ids of networks of this plugin. */
  readonly isOurs: (networkId: string) => boolean;
  readonly onNetworkName: (id: string, name: string) => Promise<void>;
  readonly onNetworkGone: (id: string) => Promise<void>;
  readonly onNames: (endpoint: string, known: ContainerNames) => Promise<void>;
  /** All that Docker has of this plugin. @param asked when, on the monotonic clock */
  readonly onPresent: (networks: readonly DockerNetworkState[], asked: number) => Promise<void>;
  /** Milliseconds after which what Docker does not list was not on its way to it. */
  readonly settling: number;
}

/** How a container is called on one network. */
export interface ContainerNames {
  readonly container: string;
  readonly names: readonly string[];
}

const RETRY = { first: 250, cap: 10_000 };
/** Milliseconds that clocks may differ by. */
const MARGIN = 100;
/** Seconds of events that are asked for again: a daemon subscribes after its answer has begun. */
const OVERLAP = 5;

export class DockerFollower {
  readonly #parts: DockerFollowerParts;
  readonly #names: NamesOfContainers;
  readonly #comparison: Wakeup;
  /** On the monotonic clock; undefined: nothing is to be compared. */
  #compareAt: number | undefined;
  #isConnected = false;

  constructor(parts: DockerFollowerParts) {
    this.#parts = parts;
    this.#names = new NamesOfContainers(parts);
    this.#comparison = new Wakeup(parts.clock);
  }

  /** A name is missing, or something may be left over: everything is compared, at once and when calls have settled. */
  compare(): void {
    this.#compareAt = this.#parts.clock.monotonic();
    this.#comparison.wake();
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#follow(until),
      until => this.#compareWhenDue(until),
      until => this.#names.run(until),
    );
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { docker, clock, logger } = this.#parts;
    let delays = backoff(RETRY.first, RETRY.cap);
    while (!signal.aborted) {
      try {
        const since = clock.now() / 1000 - OVERLAP;
        const events = docker.events(signal, since);
        // Asks for the events before the list, so that nothing is between the two.
        const first = events.next();
        first.catch(() => undefined);
        await docker.networks();
        this.#isConnected = true;
        delays = backoff(RETRY.first, RETRY.cap);
        this.compare();
        for (let next = await first; next.done !== true; next = await events.next())
          await this.#event(next.value);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof DockerError)) throw error;
        if (this.#isConnected || error.code !== 'NO_DOCKER')
          logger.info({ reason: error.message }, 'dockerd does not answer');
      }
      this.#isConnected = false;
      await clock.sleep(delays.next().value, signal).catch(() => undefined);
    }
  }

  async #event(event: DockerEvent): Promise<void> {
    try {
      await this.#take(event);
    } catch (error) {
      // A disk that is full, for one: the comparison tries again.
      this.#parts.logger.warn({ reason: messageOf(error) }, 'an event of Docker was not acted on');
      this.compare();
    }
  }

  async #take({ Type, Action, Actor }: DockerEvent): Promise<void> {
    const { isOurs, onNetworkName, onNetworkGone } = this.#parts;
    const { ID = '', Attributes = {} } = Actor ?? {};
    if (Type === 'container' && Action === 'rename') this.#names.learn(ID);
    if (Type !== 'network') return;
    const { name, container } = Attributes;
    if (Action === 'create' && name !== undefined) await onNetworkName(ID, name);
    if (Action === 'destroy') await onNetworkGone(ID);
    if (Action === 'connect' && container !== undefined && isOurs(ID)) this.#names.learn(container);
  }

  /** At once, for names; and again when nothing that Docker lists can be too new, for what is left over. */
  async #compareWhenDue(signal: AbortSignal): Promise<void> {
    const { clock, logger, settling } = this.#parts;
    let delays = backoff(RETRY.first, RETRY.cap);
    while (!signal.aborted) {
      // A new connection wakes it.
      const isWaiting = this.#compareAt === undefined || !this.#isConnected;
      const due = isWaiting ? Number.POSITIVE_INFINITY : (this.#compareAt ?? 0) + settling + MARGIN;
      await this.#comparison.pause(due - clock.monotonic(), signal);
      if (signal.aborted || this.#compareAt === undefined || !this.#isConnected) continue;
      const since = this.#compareAt;
      try {
        const asked = clock.monotonic();
        await this.#compareAll(asked);
        delays = backoff(RETRY.first, RETRY.cap);
        if (this.#compareAt === since && asked >= since + settling) this.#compareAt = undefined;
      } catch (error) {
        // Of dockerd, of attachments that are not open yet, of the kernel, of the disk: none of it ends the agent.
        logger.info({ reason: messageOf(error) }, 'dockerd was not compared with what is attached');
        await clock.sleep(delays.next().value, signal).catch(() => undefined);
      }
    }
  }

  async #compareAll(asked: number): Promise<void> {
    const { docker, isOurs, onNetworkName, onPresent } = this.#parts;
    const ours: DockerNetworkState[] = [];
    for (const listed of await docker.networks()) {
      if (isOurs(listed.Id)) await onNetworkName(listed.Id, listed.Name);
      else if (listed.Driver.split(':')[0] !== DRIVER) continue;
      ours.push(await docker.network(listed.Id));
    }
    await onPresent(ours, asked);
    for (const { Containers } of ours) for (const id of Object.keys(Containers)) this.#names.learn(id);
  }
}

/** A managed plugin has a tag behind it. */
const DRIVER = 'tulle';
