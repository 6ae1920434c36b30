/**
 * What is found out about the paths to peers by packets: whether they answer, which of several ways works, and how large a
 * packet may be. All of it is paid from one budget, and what one has asked the others need not ask again.
 */
import { together } from '../base/abort.ts';
import type { Family } from '../base/ip.ts';
import type { Lease } from '../subnet/lease/lease.ts';
import type { ActivePlan } from './active-plan.ts';
import { HealthMesh, type ListenForEchoes } from './mesh/health-mesh.ts';
import type { MeshPath } from './mesh/mesh-paths.ts';
import type { EchoKind } from './mesh/path-answers.ts';
import type { NetworkOptions } from './options.ts';
import { pathMtuWarnings } from './path-mtu/path-mtu-warning.ts';
import { PathMtus } from './path-mtu/path-mtus.ts';
import { ProbeBudget } from './probe-budget.ts';
import type { EventReporter, HealthReporter } from './reports.ts';
import { Ways, type WaysOptions } from './ways/ways.ts';

export interface PeerProbesOptions extends Omit<WaysOptions, 'budget' | 'isShared'> {
  readonly health: HealthReporter;
  readonly events: EventReporter;
  readonly listen: ListenForEchoes;
  /** The plan in use. */
  readonly active: () => ActivePlan | undefined;
  readonly options: Pick<NetworkOptions, 'healthMesh'>;
}

/** For people. */
const CARRIERS: Readonly<Record<string, string>> = { vxlan: 'VXLAN', udp: 'UDP', ipip: 'IPIP' };

export class PeerProbes {
  readonly ways: Ways;
  readonly mtus: PathMtus;
  readonly #mesh: HealthMesh | undefined;
  readonly #options: PeerProbesOptions;

  constructor(options: PeerProbesOptions) {
    const { onChange, clock } = options;
    const { healthMesh: isShared } = options.options;
    const budget = new ProbeBudget(clock);
    this.#options = options;
    this.ways = new Ways({ ...options, budget, isShared });
    this.mtus = new PathMtus({
      ...options,
      budget,
      isShared,
      onChange: key => {
        onChange(key);
        this.#warn();
      },
    });
    if (!isShared) return;
    this.#mesh = new HealthMesh({
      ...options,
      budget,
      isUnsettled: ({ key, family }) => this.ways.isTrying(key, family),
      onEcho: (...echo) => this.#share(...echo),
      carrier: ({ key, family }) => this.#carrier(key, family),
      sizeTo: ({ key, family }) => this.mtus.sizes(key)[family],
    });
  }

  /** What knows whether peers answer; it knows nothing when they are not asked. */
  get answers(): Pick<HealthMesh, 'status'> & Pick<HealthMesh['mesh'], 'set'> {
    const mesh = this.#mesh;
    return {
      status: key => mesh?.status(key) ?? {},
      set: (...target) => mesh?.mesh.set(...target),
    };
  }

  /** The lease of this host. */
  setOwn(lease: Lease): void {
    this.ways.setOwn(lease);
    this.mtus.setOwn(lease.subnet);
    this.#mesh?.mesh.setOwn(lease);
  }

  /** Asks until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.ways.run(until),
      until => this.mtus.run(until),
      async until => this.#mesh?.run(until),
    );
  }

  #share({ key, family, answers: { state } }: MeshPath, kind: EchoKind, isAnswered: boolean): void {
    // A full one may be lost for its size.
    if (isAnswered || kind === 'small') this.ways.asked(key, family, isAnswered);
    if (kind === 'full' && (isAnswered || state === 'size')) this.mtus.asked(key, family, isAnswered);
  }

  #carrier(key: string, family: Family): string {
    const type = this.#options.active()?.plan.backend.type ?? '';
    return this.ways.status(key)[family]?.name ?? CARRIERS[type] ?? 'the tunnel';
  }

  #warn(): void {
    const { health, active } = this.#options;
    const { plan, host } = active() ?? {};
    if (plan !== undefined && host !== undefined)
      health.warn('path-mtu', pathMtuWarnings(this.mtus.small, { ...plan, host }));
  }
}
