/**
 * Keeps a Docker network for each L2 network that wants one, while a dockerd runs on this host, and says which containers
 * are on it. Docker's events lead to a comparison; nothing is asked at intervals but whether there is a dockerd, and that
 * only while an L2 network wants one.
 */
import { together } from '../../../base/abort.ts';
import { backoff, type Clock } from '../../../base/clock.ts';
import { messageOf, TulleError } from '../../../base/errors.ts';
import type { Family } from '../../../base/ip.ts';
import type { Logger } from '../../../base/log.ts';
import { familiesOf, type PerFamily } from '../../../base/per-family.ts';
import type { Prefix } from '../../../base/prefix.ts';
import { Wakeup } from '../../../base/wakeup.ts';
import { type DockerApi, DockerError } from '../../../docker/docker-api.ts';
import type { DockerNetworkState, NewDockerNetwork } from '../../../docker/docker-messages.ts';
import { dockerPart } from '../../../subnet/segment/segment.ts';
import type { HealthReporter, OwnedWarning } from '../../reports.ts';
import type { AttachedEndpoint } from '../endpoints/local-endpoints.ts';
import type { SegmentSite } from '../endpoints/segment-site.ts';
import { containersOn, differenceOf, planDockerNetwork, segmentIdOf } from './docker-network.ts';
import { differsWarning, failureWarning, foreignWarning, inUseWarning } from './docker-warnings.ts';

export interface DockerNetworksParts {
  readonly docker: Pick<DockerApi, 'networks' | 'network' | 'createNetwork' | 'removeNetwork' | 'events'>;
  /** The ranges of this host, of which it leases one if there is none. */
  readonly ranges: (name: string, family: Family) => Promise<readonly Prefix[]>;
  readonly setContainers: (name: string, containers: readonly AttachedEndpoint[]) => void;
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds in which further changes are gathered. */
const SETTLE = 50;
const RETRY = { first: 500, cap: 30_000 };
export class DockerNetworks {
  readonly #parts: DockerNetworksParts;
  readonly #wakeup: Wakeup;
  #sites: readonly SegmentSite[] = [];
  /** Unless no L2 network wants one and Docker has none of ours: one may be left by an earlier run. */
  #isNeeded = false;
  #isFirst = true;

  constructor(parts: DockerNetworksParts) {
    this.#parts = parts;
    this.#wakeup = new Wakeup(parts.clock);
  }

  /**
   * States which L2 networks there are on this host. Those that want no Docker network matter too: one that they have is
   * removed.
   * @param sites whose bridges are there: Docker would make one that is missing
   */
  setSites(sites: readonly SegmentSite[]): void {
    this.#sites = sites;
    this.#isNeeded ||= this.#isFirst || sites.some(({ segment }) => segment.docker);
    this.#isFirst = false;
    this.#wakeup.wake();
  }

  /** Until `signal` aborts; Docker's networks stay. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts;
    let delays = backoff(RETRY.first, RETRY.cap);
    let reported: string | undefined;
    while (!signal.aborted) {
      if (!this.#isNeeded) {
        await this.#wakeup.pause(Number.POSITIVE_INFINITY, signal);
        continue;
      }
      try {
        await this.#follow(signal, () => {
          delays = backoff(RETRY.first, RETRY.cap);
          reported = undefined;
        });
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof TulleError)) throw error;
        const reason = messageOf(error);
        if (reason !== reported) logger.info({ reason }, 'Docker networks of L2 networks wait for dockerd');
        reported = reason;
        this.#parts.health.warn('docker-networks', []);
      }
      await clock.sleep(delays.next().value, signal).catch(() => undefined);
    }
  }

  /** Compares now and after every event, while the daemon runs and that is of use. @throws DockerError */
  async #follow(signal: AbortSignal, onSuccess: () => void): Promise<void> {
    const { docker, clock } = this.#parts;
    const done = new AbortController();
    await together(
      AbortSignal.any([signal, done.signal]),
      async until => {
        for await (const _ of docker.events(until)) this.#wakeup.wake();
        if (!until.aborted) throw new DockerError('NO_DOCKER', 'dockerd has ended');
      },
      async until => {
        while (!until.aborted) {
          const isWhole = await this.#compare();
          onSuccess();
          if (!this.#isNeeded) return done.abort();
          await this.#wakeup.pause(isWhole ? Number.POSITIVE_INFINITY : RETRY.cap, until);
          await clock.sleep(SETTLE, until).catch(() => undefined);
        }
      },
    );
  }

  /** @returns false when something could not be made */
  async #compare(): Promise<boolean> {
    const { docker, health, setContainers } = this.#parts;
    const present = await docker.networks();
    const warnings: OwnedWarning[] = [];
    const ids = new Set(this.#sites.filter(({ segment }) => segment.docker).map(({ segment }) => segment.id));
    for (const network of present) {
      const id = segmentIdOf(network);
      if (id !== undefined && !ids.has(id)) warnings.push(...(await this.#remove(network)));
    }
    for (const site of this.#sites) {
      const { name, docker: isWanted } = site.segment;
      if (!isWanted) continue;
      const found = present.find(network => segmentIdOf(network) === site.segment.id);
      const foreign = present.find(network => network.Name === name && segmentIdOf(network) === undefined);
      try {
        if (foreign !== undefined) warnings.push(foreignWarning(name, foreign));
        else warnings.push(...(await this.#keep(site, found)));
        const network = foreign === undefined ? await docker.network(name) : undefined;
        setContainers(name, network === undefined ? [] : containersOn(network));
      } catch (error) {
        if (!(error instanceof TulleError)) throw error;
        if (error instanceof DockerError && error.code === 'NO_DOCKER') throw error;
        warnings.push(failureWarning(name, messageOf(error)));
      }
    }
    health.warn('docker-networks', warnings);
    this.#isNeeded = ids.size > 0 || present.some(network => segmentIdOf(network) !== undefined);
    return !warnings.some(({ code }) => code === 'DOCKER_NETWORK_FAILED');
  }

  /** Makes the Docker network of an L2 network, or makes it anew when it differs and nothing is on it. */
  async #keep(site: SegmentSite, found: DockerNetworkState | undefined): Promise<readonly OwnedWarning[]> {
    const { docker, logger } = this.#parts;
    const { name } = site.segment;
    const wanted = await this.#plan(site);
    if (found === undefined) {
      await docker.createNetwork(wanted);
      logger.info(
        { network: name, ranges: wanted.IPAM.Config.map(({ IPRange }) => IPRange) },
        'made a Docker network',
      );
      return [];
    }
    const difference = differenceOf(found, wanted);
    if (difference === undefined) return [];
    const containers = Object.values((await docker.network(found.Id)).Containers);
    if (containers.length > 0) return [differsWarning(name, difference, containers)];
    await docker.removeNetwork(found.Id);
    await docker.createNetwork(wanted);
    logger.info({ network: name, difference }, 'made a Docker network anew');
    return [];
  }

  async #plan(site: SegmentSite): Promise<NewDockerNetwork> {
    const { name, subnets } = site.segment;
    const ranges: { [Key in Family]?: Prefix } = {};
    for (const family of familiesOf(subnets)) {
      const [range] = await this.#parts.ranges(name, family);
      if (range !== undefined) ranges[family] = dockerPart(range);
    }
    return planDockerNetwork(site, ranges satisfies PerFamily<Prefix>);
  }

  /** Docker refuses to remove a network with containers: they keep it, and it is said so. */
  async #remove({ Id, Name }: DockerNetworkState): Promise<readonly OwnedWarning[]> {
    const { docker, logger } = this.#parts;
    const containers = Object.values((await docker.network(Id)).Containers);
    if (containers.length > 0) return [inUseWarning(Name, containers)];
    await docker.removeNetwork(Id);
    logger.info({ network: Name }, 'removed the Docker network of an L2 network that is no more');
    return [];
  }
}
