/**
 * A host made of a network namespace with the fast path at its uplink and its containers, as an agent would have it there.
 */
import type { TestContext } from 'node:test';
import { silentLogger } from '../../src/base/log.ts';
import { FastPath } from '../../src/fastpath/fast-path.ts';
import { programName } from '../../src/fastpath/programs/build.ts';
import type { FastFlow, Tunnel } from '../../src/fastpath/programs/layout.ts';
import { ROLES, type Role } from '../../src/fastpath/roles.ts';
import { startClearance } from '../../src/fastpath/start-clearance.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { Namespace } from './neighbourhood.ts';

export interface FastHostOptions {
  readonly tunnel: Tunnel;
  readonly uplink: string;
  readonly hostEnds: readonly string[];
}

/** Packets that took the fast path, of all flows. */
export interface FastCounts {
  readonly sent: number;
  readonly delivered: number;
}

export class FastHost {
  readonly fastPath: FastPath;

  private constructor(fastPath: FastPath) {
    this.fastPath = fastPath;
  }

  static async start(
    t: Pick<TestContext, 'after'>,
    host: Namespace,
    options: FastHostOptions,
  ): Promise<FastHost> {
    const stack = new AsyncDisposableStack();
    t.after(() => stack.disposeAsync());
    const fastPath = stack.use(await FastPath.open({ netns: host.netns, owner: '/test' }));
    stack.use(startClearance(fastPath.maps, host.netns, silentLogger));
    fastPath.setTunnels([options.tunnel]);
    await using rtnetlink = connectRoute({ netns: host.netns });
    for (const [role, { at, point }] of Object.entries(ROLES) as [Role, (typeof ROLES)[Role]][])
      for (const name of at === 'uplink' ? [options.uplink] : options.hostEnds) {
        const { index } = (await rtnetlink.links.get(name)) ?? {};
        if (index === undefined) throw new Error(`no link ${name}`);
        await fastPath.attach({ name, index }, point, programName(role, options.tunnel.vni));
      }
    return new FastHost(fastPath);
  }

  flows(): FastFlow[] {
    return Array.from(this.fastPath.flows(1000));
  }

  get counts(): FastCounts {
    const sum = (field: 'sentPackets' | 'deliveredPackets') =>
      this.flows().reduce((total, { state }) => total + Number(state[field]), 0);
    return { sent: sum('sentPackets'), delivered: sum('deliveredPackets') };
  }
}
