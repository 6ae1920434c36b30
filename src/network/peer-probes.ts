/** What is found out about the paths to peers by packets: which of several ways works, and how large a packet may be. */
import { together } from '../base/abort.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { ActivePlan } from './active-plan.ts';
import { pathMtuWarnings } from './path-mtu/path-mtu-warning.ts';
import { PathMtus } from './path-mtu/path-mtus.ts';
import type { HealthReporter } from './reports.ts';
import { Ways, type WaysOptions } from './ways/ways.ts';

export interface PeerProbesOptions extends WaysOptions {
  readonly health: HealthReporter;
  /** The plan in use. */
  readonly active: () => ActivePlan | undefined;
}

export class PeerProbes {
  readonly ways: Ways;
  readonly mtus: PathMtus;
  readonly #options: PeerProbesOptions;

  constructor(options: PeerProbesOptions) {
    const { onChange } = options;
    this.#options = options;
    this.ways = new Ways(options);
    this.mtus = new PathMtus({
      ...options,
      onChange: key => {
        onChange(key);
        this.#warn();
      },
    });
  }

  /** The lease of this host. */
  setOwn(lease: Lease): void {
    this.ways.setOwn(lease);
    this.mtus.setOwn(lease.subnet);
  }

  /** Asks until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.ways.run(until),
      until => this.mtus.run(until),
    );
  }

  #warn(): void {
    const { health, active } = this.#options;
    const { plan, host } = active() ?? {};
    if (plan !== undefined && host !== undefined)
      health.warn('path-mtu', pathMtuWarnings(this.mtus.small, { ...plan, host }));
  }
}
