/** The fast path as the network of this host has it, also where this host has none: what is followed, and what is said of it. */
import type { FastPathObstacle } from '../../api/fast-path.ts';
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Watchable } from '../../base/watchable.ts';
import type { ProgramStore } from '../../dataplane/programs.ts';
import type { ActivePlan } from '../active-plan.ts';
import type { OverlayStatus } from '../overlay-status.ts';
import type { Segments } from '../segment/segments.ts';
import { carriedOverlay, carriedSegment } from './carried-networks.ts';
import type { FastPathPrograms } from './fast-path-programs.ts';
import { FlowCounts } from './flow-counts.ts';
import { HostFastPath, type HostFastPathParts } from './host-fast-path.ts';
import type { CarriedNetwork } from './plan.ts';
import { reportFastPath } from './report.ts';

/** Milliseconds for which a count of all flows is good enough. */
const FLOWS_AGE = 1000;

/** What a host has to make packets fast, or why it has nothing. */
export type FastPathChoice =
  | ({ readonly store: ProgramStore; readonly programs: FastPathPrograms } & Pick<
      HostFastPathParts,
      'watchRules'
    >)
  | { readonly obstacle: FastPathObstacle };

export interface NetworkFastPathParts
  extends Omit<HostFastPathParts, 'programs' | 'networks' | 'watchRules'> {
  readonly fastPath: FastPathChoice;
  /** The plan and the lease in use. */
  readonly active: Watchable<ActivePlan | undefined>;
  readonly segments: Pick<Segments, 'scopes' | 'version' | 'watch'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class NetworkFastPath {
  readonly #parts: NetworkFastPathParts;
  /** Absent where this host has none. */
  readonly #host: HostFastPath | undefined;
  #flows = new FlowCounts();
  /** When they were counted. */
  #countedAt = Number.NEGATIVE_INFINITY;
  #counting: Promise<void> | undefined;

  constructor(parts: NetworkFastPathParts) {
    this.#parts = parts;
    const { fastPath: choice } = parts;
    if ('programs' in choice)
      this.#host = new HostFastPath({ ...parts, ...choice, networks: () => this.#known() });
  }

  /** Follows this host until `signal` aborts; what is attached stays. */
  async run(signal: AbortSignal): Promise<void> {
    const host = this.#host;
    if (host === undefined) return;
    const { active, segments } = this.#parts;
    const changed = () => host.networksChanged();
    await together(
      signal,
      until => host.run(until),
      until => active.follow(changed, until),
      until => segments.version.follow(changed, until),
    );
  }

  /** Counts the flows that the programs know, unless that was done a moment ago: for `addTo`. @throws SysError */
  async countFlows(): Promise<void> {
    const { fastPath: choice, clock } = this.#parts;
    if ('obstacle' in choice || clock.monotonic() - this.#countedAt <= FLOWS_AGE) return;
    this.#counting ??= this.#count(choice.programs).finally(() => (this.#counting = undefined));
    await this.#counting;
  }

  async #count(programs: Pick<FastPathPrograms, 'flows'>): Promise<void> {
    this.#flows = await FlowCounts.count(programs.flows());
    this.#countedAt = this.#parts.clock.monotonic();
  }

  /** The same status, with what the fast path is to this host and to peers; flows as they were counted last. */
  addTo(status: OverlayStatus): OverlayStatus {
    const { fastPath: choice, active } = this.#parts;
    const { status: fastPath, peers } = reportFastPath(
      {
        networks: this.#networks(),
        decided: this.#host?.networks ?? [],
        flows: this.#flows,
        normal: 'programs' in choice ? choice.programs.normal() : new Map(),
        obstacle: 'obstacle' in choice ? choice.obstacle : undefined,
        failure: this.#host?.failure,
        tcpObstacle: 'programs' in choice ? choice.programs.tcpObstacle : undefined,
      },
      status.peers,
      active.value?.plan.backend.forwarder?.device,
    );
    return { ...status, peers, fastPath };
  }

  #networks(): CarriedNetwork[] {
    const { active, segments } = this.#parts;
    return [carriedOverlay(active.value), ...segments.scopes.flatMap(scope => carriedSegment(scope) ?? [])];
  }

  /** undefined while one that the last run had may come back: until then its programs stay. */
  #known(): CarriedNetwork[] | undefined {
    const { active, segments } = this.#parts;
    const isKnown =
      active.value !== undefined &&
      segments.watch.snapshot !== undefined &&
      segments.scopes.every(({ plan, obstacle }) => plan !== undefined || obstacle !== undefined);
    return isKnown || this.#host?.hasWaited === true ? this.#networks() : undefined;
  }
}
