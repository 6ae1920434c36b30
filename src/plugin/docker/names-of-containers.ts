/** Learns how containers are called, a few at a time: dockerd answers only when it is done with starting one. */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Wakeup } from '../../base/wakeup.ts';
import type { DockerApi } from '../../docker/docker-api.ts';
import type { DockerEndpoints } from '../../docker/docker-messages.ts';
import { isContainerName } from '../../subnet/segment/segment.ts';
import type { ContainerNames } from './docker-follower.ts';

export interface NamesOfContainersParts {
  readonly docker: Pick<DockerApi, 'endpoints'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isOurs: (networkId: string) => boolean;
  readonly onNames: (endpoint: string, known: ContainerNames) => Promise<void>;
}

/** Questions to dockerd at one time. */
const AT_ONCE = 4;
/** Of one container; Docker has no bound. */
const MOST_NAMES = 64;
/** The label by which compose says of which service a container is. */
const SERVICE_LABEL = 'com.docker.compose.service';

export class NamesOfContainers {
  readonly #parts: NamesOfContainersParts;
  /** Ids of containers, in the order in which they came. */
  readonly #wanted = new Set<string>();
  readonly #wakeup: Wakeup;

  constructor(parts: NamesOfContainersParts) {
    this.#parts = parts;
    this.#wakeup = new Wakeup(parts.clock);
  }

  learn(container: string): void {
    this.#wanted.add(container);
    this.#wakeup.wake();
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const asking = new Set<Promise<void>>();
    while (!signal.aborted) {
      const [container] = this.#wanted;
      if (container === undefined) await this.#wakeup.pause(Number.POSITIVE_INFINITY, signal);
      else if (asking.size < AT_ONCE) {
        this.#wanted.delete(container);
        const asked: Promise<void> = this.#ask(container).finally(() => asking.delete(asked));
        asking.add(asked);
      } else await Promise.race(asking);
    }
    await Promise.all(asking);
  }

  async #ask(container: string): Promise<void> {
    const { docker, isOurs, logger, onNames } = this.#parts;
    try {
      for (const { network, endpoint, known } of namedEndpointsOf(await docker.endpoints(container))) {
        if (isOurs(network)) await onNames(endpoint, known);
      }
    } catch (error) {
      // It is gone, or dockerd is; both are told of in another way.
      logger.debug({ container, reason: messageOf(error) }, 'the names of a container are not known');
    }
  }
}

interface NamedEndpoint {
  readonly network: string;
  readonly endpoint: string;
  readonly known: ContainerNames;
}

/** Of each endpoint of a container that runs. */
function namedEndpointsOf({ Name, Config, NetworkSettings }: DockerEndpoints): readonly NamedEndpoint[] {
  const container = Name.replace(/^\//, '');
  if (!isContainerName(container)) return [];
  const service = Config?.Labels[SERVICE_LABEL] ?? '';
  return Object.values(NetworkSettings.Networks)
    .filter(({ EndpointID }) => EndpointID !== '')
    .map(({ NetworkID, EndpointID, Aliases, DNSNames }) => {
      const names = new Set([...Aliases, ...DNSNames, service].filter(isContainerName));
      names.delete(container);
      return {
        network: NetworkID,
        endpoint: EndpointID,
        known: { container, names: [...names].slice(0, MOST_NAMES) },
      };
    });
}
