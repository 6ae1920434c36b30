/**
 * The one data plane of this host, as its users besides the overlay have it: tunnels and L2 networks. Each states what it
 * wants with a scope of its own, and is independent of the store, of the lease and of the overlay's plan.
 *
 *     const scope = shared.network('tunnel vxlan1');
 *     scope.setHost(desired);
 *     await shared.apply();
 *     scope.report();
 */
import type { Watchable } from '../base/watchable.ts';
import type { DataPlane } from '../dataplane/data-plane.ts';

export interface SharedDataPlane extends Pick<DataPlane, 'network' | 'apply'> {
  /** Grows after every comparison with the kernel: the reports of the scopes may have changed. */
  readonly rounds: Watchable<number>;
}
