/** One segment on this host: what is stated of it to the data plane, and what became of that. */
import type { NetworkOnHost } from '../../api/networks.ts';
import type { Underlay } from '../../backend/backend.ts';
import { formatProblem } from '../../base/errors.ts';
import type { NetworkScope } from '../../dataplane/data-plane.ts';
import type { NetworkReport } from '../../dataplane/report.ts';
import type { GuardDrops } from '../../firewall/bridge/bridge-guard.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { SegmentSnapshot } from '../../subnet/segment/segment.ts';
import {
  type HostSegmentPlan,
  isHostSegmentPlan,
  planHostSegment,
  type SegmentObstacle,
} from './segment-plan.ts';

export class SegmentScope {
  readonly #scope: NetworkScope;
  readonly #hostId: string;
  #snapshot: SegmentSnapshot;
  #underlay: Underlay | undefined;
  #plan: HostSegmentPlan | undefined;
  #obstacle: SegmentObstacle['obstacle'] | undefined;

  constructor(scope: NetworkScope, snapshot: SegmentSnapshot, hostId: string) {
    this.#scope = scope;
    this.#snapshot = snapshot;
    this.#hostId = hostId;
  }

  get snapshot(): SegmentSnapshot {
    return this.#snapshot;
  }

  /** What is in use: an earlier one while there is an obstacle to the present one. */
  get plan(): HostSegmentPlan | undefined {
    return this.#plan;
  }

  /** Why what is wanted now cannot be made. */
  get obstacle(): SegmentObstacle['obstacle'] | undefined {
    return this.#obstacle;
  }

  /**
   * States what follows from the store and this host.
   * @param underlay undefined while there is none: what is in use stays in use
   * @returns whether the data plane is to be applied
   */
  set(snapshot: SegmentSnapshot, underlay: Underlay | undefined): boolean {
    const isSame = snapshot === this.#snapshot && JSON.stringify(underlay) === JSON.stringify(this.#underlay);
    if (isSame && this.#plan !== undefined) return false;
    this.#snapshot = snapshot;
    this.#underlay = underlay;
    if (underlay === undefined) return false;
    const planned = planHostSegment(snapshot, underlay, this.#hostId);
    if (!isHostSegmentPlan(planned)) {
      this.#obstacle = planned.obstacle;
      return false;
    }
    this.#obstacle = undefined;
    this.#plan = planned;
    this.#scope.set(planned);
    return true;
  }

  remove(): void {
    this.#scope.remove();
  }

  report(): NetworkReport {
    return this.#scope.report();
  }

  /** Index of the bridge; undefined while it is not in place. */
  get bridge(): number | undefined {
    return this.#indexOf(this.#plan?.links.bridge);
  }

  /** Index of the VXLAN link; undefined while it is not in place. */
  get tunnel(): number | undefined {
    return this.#indexOf(this.#plan?.links.tunnel);
  }

  /** Names of the ports of the bridge besides the one to the other hosts. */
  ports(links: readonly Link[]): string[] {
    const { bridge, tunnel } = this;
    if (bridge === undefined) return [];
    return links.filter(({ master, index }) => master === bridge && index !== tunnel).map(({ name }) => name);
  }

  onHost(links: readonly Link[], drops: GuardDrops | undefined): NetworkOnHost {
    const { plan, obstacle, snapshot } = this;
    return {
      name: snapshot.segment.name,
      ...(plan && { ...plan.links, mtu: plan.mtu }),
      ready: this.bridge !== undefined && this.tunnel !== undefined,
      ...(obstacle && { reason: formatProblem(obstacle) }),
      ports: this.ports(links),
      ...(drops && { drops }),
    };
  }

  #indexOf(name: string | undefined): number | undefined {
    return this.report().links.find(link => link.name === name && link.inSync)?.index;
  }
}
