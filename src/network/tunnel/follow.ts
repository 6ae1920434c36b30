/**
 * Keeps tunnels as this host allows: after every change of its links and addresses they are planned again, and what shares
 * a bridge with one is given its MTU. While there is no tunnel, nothing is watched.
 */
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import type { Logger } from '../../base/log.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { EventGroup, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { keepFollowing } from '../keep-following.ts';
import type { HealthReporter, OwnedWarning } from '../reports.ts';
import type { SharedDataPlane } from '../shared-data-plane.ts';
import type { Tunnels } from './tunnels.ts';

export interface TunnelFollowing {
  readonly tunnels: Tunnels;
  readonly rtnetlink: Pick<Rtnetlink, 'watch'>;
  readonly dataPlane: Pick<SharedDataPlane, 'rounds'>;
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds in which further changes are gathered: a container comes in several steps. */
const SETTLE = 100;

/** What is watched: routes only while a tunnel waits for something, as a host may have 100,000 of them. */
const GROUPS = {
  nothing: [],
  links: ['link', 'address'],
  routes: ['link', 'address', 'route'],
} as const satisfies Record<string, readonly EventGroup[]>;

type Watched = keyof typeof GROUPS;

/** Until `signal` aborts. What is in the kernel stays. */
export async function followTunnels(following: TunnelFollowing, signal: AbortSignal): Promise<void> {
  const { tunnels } = following;
  const watched = new Watchable<Watched>('nothing');
  await together(
    signal,
    until => watchWhatIsNeeded(following, watched, until),
    async until => {
      for await (const _ of tunnels.version.changes(until)) {
        const needed = tunnels.size === 0 ? 'nothing' : tunnels.isWaiting ? 'routes' : 'links';
        if (needed !== watched.value) watched.set(needed);
        warn(following);
      }
    },
    async until => {
      for await (const _ of following.dataPlane.rounds.changes(until)) warn(following);
    },
  );
}

async function watchWhatIsNeeded(
  following: TunnelFollowing,
  watched: Watchable<Watched>,
  signal: AbortSignal,
): Promise<void> {
  for await (const what of watched.changes(signal)) {
    if (what === 'nothing') continue;
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    await Promise.race([
      refreshOnChanges(following, GROUPS[what], until),
      watched.until(now => now !== what, signal).catch(() => undefined),
    ]).finally(() => over.abort());
  }
}

/** Begins with a refresh: what changed before the watch began is seen by it. */
async function refreshOnChanges(
  { tunnels, rtnetlink, clock, logger }: TunnelFollowing,
  groups: readonly EventGroup[],
  signal: AbortSignal,
): Promise<void> {
  const follow = async (onSuccess: () => void) => {
    const changed = new Watchable(0);
    const watching = async (until: AbortSignal) => {
      for await (const event of rtnetlink.watch(groups, until)) {
        if (event.type !== 'idle') increment(changed);
      }
    };
    const refreshing = async (until: AbortSignal) => {
      for await (const _ of changed.changes(until)) {
        await tunnels.refresh();
        onSuccess();
        await clock.sleep(SETTLE, until).catch(() => undefined);
      }
    };
    await together(signal, watching, refreshing);
  };
  const failure = 'the tunnels could not be compared with this host';
  await keepFollowing({ clock, logger, failure }, follow, signal);
}

function warn({ tunnels, health }: TunnelFollowing): void {
  const broken = tunnels.states().filter(({ state }) => state !== 'up');
  health.warn(
    'tunnels',
    broken.map(({ name, state, reason = state, hint }): OwnedWarning => {
      const text = `${name}: ${reason}`;
      const title = `the tunnel ${name} does not work`;
      return { id: name, code: 'TUNNEL_DOWN', severity: 'warning', title, text, ...defined({ hint }) };
    }),
  );
}
