/** What this folder needs of the programs of the fast path, beside that the data plane attaches them. */
import type { KnownFlow } from './flow-counts.ts';
import type { ReadOtherIds, ReadOthers } from './link-looks.ts';
import type { FastPathTunnel } from './plan.ts';

export interface FastPathPrograms {
  readonly others: ReadOthers;
  readonly otherIds: ReadOtherIds;
  /** Packets of these tunnels are looked at, and of no others. @returns those that there is no room for */
  setTunnels(tunnels: readonly FastPathTunnel[]): readonly FastPathTunnel[];
  /** Nothing counts as proven any more. */
  bump(): void;
  flows(): Iterable<KnownFlow>;
  /** Packets of containers that took the normal path, by reason, since the programs run. */
  normal(): ReadonlyMap<string, number>;
  /** Why packets of TCP take the normal path; undefined where nothing keeps them on it. */
  readonly tcpObstacle: string | undefined;
}
