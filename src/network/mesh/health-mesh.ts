/** The mesh of this host at work: it asks, reads the echoes of others, and reports. */
import type { PeerHealth } from '../../api/peer-health.ts';
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { FAMILIES, type Family, type Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { mapFamilies, type PerFamily } from '../../base/per-family.ts';
import { Wakeup } from '../../base/wakeup.ts';
import type { EventReporter, HealthReporter } from '../reports.ts';
import { Mesh, type MeshOptions } from './mesh.ts';
import type { MeshPath } from './mesh-paths.ts';
import { MeshReport } from './mesh-report.ts';
import { healthOf } from './places.ts';
import { MARK } from './suspicion.ts';

/** Reads marked echo requests of a family until the signal aborts. @throws SysError */
export type ListenForEchoes = (
  family: Family,
  mark: number,
  onRequest: (from: Ip, data: Uint8Array) => void,
  signal: AbortSignal,
) => Promise<void>;

export interface HealthMeshOptions extends Omit<MeshOptions, 'onChange'> {
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly listen: ListenForEchoes;
  /** What carries packets of containers to a peer: `VXLAN`. */
  readonly carrier: (path: MeshPath) => string;
  /** Bytes that pass to a peer, where that was searched. */
  readonly sizeTo: (path: MeshPath) => number | undefined;
}

/** Milliseconds in which changes are gathered; between two looks at what is wrong; until a socket is opened again. */
const SETTLE = 300;
const REFRESH = 5_000;
const REOPEN = 5_000;

/** Milliseconds in which a peer that sends is expected to have asked this host: each of many has its turn. */
const REQUESTS = { least: 10_000, perPeer: 500 };

export class HealthMesh {
  readonly mesh: Mesh;
  readonly #options: HealthMeshOptions;
  readonly #report: MeshReport;
  readonly #changes: Wakeup;
  readonly #epoch: number;

  constructor(options: HealthMeshOptions) {
    this.#options = options;
    this.#changes = new Wakeup(options.clock);
    this.#epoch = options.clock.now() - options.clock.monotonic();
    this.mesh = new Mesh({ ...options, onChange: () => this.#changes.wake() });
    this.#report = new MeshReport(options, path => this.#healthOf(path));
  }

  /** What is known of a peer; nothing before it was asked. */
  status(key: string): PerFamily<PeerHealth> {
    return mapFamilies(this.mesh.paths.of(key), path => this.#healthOf(path));
  }

  /** Asks, listens and reports until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.mesh.run(until),
      until => this.#reportChanges(until),
      ...FAMILIES.map(family => (until: AbortSignal) => this.#listen(family, until)),
    );
  }

  #healthOf(path: MeshPath): PeerHealth | undefined {
    const { carrier, sizeTo, clock } = this.#options;
    const { host, paths } = this.mesh;
    return healthOf(path, {
      carrier: carrier(path),
      size: sizeTo(path),
      cutSince: host.since,
      requestsFrom: clock.monotonic() - REQUESTS.least - REQUESTS.perPeer * paths.size,
      epoch: this.#epoch,
    });
  }

  async #reportChanges(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // What is known of a place, and how much is lost, changes without a change of state.
      await this.#changes.pause(this.#report.isTroubled ? REFRESH : Infinity, signal);
      await this.#options.clock.sleep(SETTLE, signal).catch(() => undefined);
      if (!signal.aborted) this.#report.update(this.mesh);
    }
  }

  /** Without it only the others' part is missing: this host asks all the same. */
  async #listen(family: Family, signal: AbortSignal): Promise<void> {
    const { listen, clock, logger } = this.#options;
    while (!signal.aborted) {
      try {
        await listen(family, MARK, (from, data) => this.mesh.receive(from, data), signal);
      } catch (error) {
        if (!signal.aborted)
          logger.warn({ family, error: messageOf(error) }, 'echoes of peers cannot be seen');
      }
      await clock.sleep(REOPEN, signal).catch(() => undefined);
    }
  }
}
