/** One segment on this host: what is stated of it to the data plane, and what became of that. */
import type { L2NetworkStatus, NetworkOnHost } from '../../api/networks.ts';
import type { Underlay } from '../../backend/backend.ts';
import { defined } from '../../base/defined.ts';
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

  /** @param links of this host */
  status(links: readonly Link[]): L2NetworkStatus {
    const { segment, members, endpoints } = this.#snapshot;
    const { links: reports = [], failures = [] } = this.#plan === undefined ? {} : this.report();
    const broken = reports.find(({ inSync, reason }) => !inSync && reason !== undefined);
    const reason =
      this.#obstacle === undefined
        ? broken === undefined
          ? failures[0]
          : `${broken.name}: ${broken.reason}`
        : formatProblem(this.#obstacle);
    const isMade = this.bridge !== undefined && this.tunnel !== undefined;
    return {
      name: segment.name,
      vni: segment.vni,
      state: reason === undefined ? (isMade ? 'ready' : 'waiting') : 'failed',
      ...defined({ reason, bridge: this.#plan?.links.bridge, mtu: this.#plan?.mtu }),
      member: this.ports(links).length > 0,
      members: members.size,
      endpoints: endpoints.size,
    };
  }

  /** Names of the ports of the bridge besides the one to the other hosts. */
  ports(links: readonly Link[]): string[] {
    const { bridge, tunnel } = this;
    if (bridge === undefined) return [];
    return links.filter(({ master, index }) => master === bridge && index !== tunnel).map(({ name }) => name);
  }

  /** @param links of this host. @param drops absent while they cannot be read */
  onHost(links: readonly Link[], drops: GuardDrops | undefined): NetworkOnHost {
    const { plan } = this;
    return {
      ...this.status(links),
      ...defined({ tunnel: plan?.links.tunnel, drops }),
      port: this.#snapshot.segment.port,
      floods: plan?.floods.map(String) ?? [],
      ports: this.ports(links),
      problems: plan?.problems.map(formatProblem) ?? [],
    };
  }

  #indexOf(name: string | undefined): number | undefined {
    return this.report().links.find(link => link.name === name && link.inSync)?.index;
  }
}
