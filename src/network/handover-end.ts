/** Ends a handover when every peer is reached by the new device, and reports meanwhile who is not. */
import { isLeftBehind } from '../backend/handover.ts';
import type { Clock } from '../base/clock.ts';
import type { Watchable } from '../base/watchable.ts';
import type { Handover } from './handover.ts';
import type { PeerMapper } from './peer-mapper.ts';
import type { PlanReporter } from './plan-reporter.ts';
import type { Planner } from './planner.ts';

/** Milliseconds that the old device stays when all have followed: they may not know yet that this host has. */
export const LINGER = 3_000;

/** Milliseconds in which further changes of peers are gathered before those left behind are counted again. */
export const SETTLE = 500;

export interface HandoverEndOptions {
  readonly planner: Planner;
  readonly peers: PeerMapper;
  readonly report: PlanReporter;
  readonly clock: Clock;
  /** Changes with the plan and with the peers. */
  readonly version: Watchable<number>;
  /** A handover is over. */
  readonly onEnd: () => void;
}

/** Runs until `signal` aborts. */
export async function endHandovers(options: HandoverEndOptions, signal: AbortSignal): Promise<void> {
  const { planner, peers, report, clock, version, onEnd } = options;
  for await (const _ of version.changes(signal)) {
    const { handover } = planner;
    const leftBehind = leftBehindOf(peers, handover);
    report.handover(handover, leftBehind);
    if (handover === undefined) continue;
    const isFollowed = handover.step === 'handing over' && leftBehind.length === 0;
    // Changes during this time are looked at in the next turn.
    await clock.sleep(isFollowed ? LINGER : SETTLE, signal).catch(() => undefined);
    const isStillFollowed = handover === planner.handover && leftBehindOf(peers, handover).length === 0;
    if (!isFollowed || !isStillFollowed) continue;
    planner.endHandover();
    onEnd();
  }
}

/** Keys of the peers that are still reached by the former device. */
function leftBehindOf(peers: PeerMapper, handover: Handover | undefined): string[] {
  if (handover === undefined) return [];
  const { from, to } = handover;
  return peers.keysOf(lease => isLeftBehind(from.backend, to.backend, lease));
}
