/**
 * Keeps connection tracking from forgetting idle TCP connections whose packets have taken the fast path. It has not seen
 * the last acknowledgements, so that such a connection looks to it as if one side still waits for an answer: it is
 * forgotten after five minutes instead of five days (nf_conntrack_tcp_timeout_unacknowledged), and who only lets
 * established connections pass drops what comes then.
 *
 * So now and then all flows are looked at, and those that have become idle since are given the timeout of idle ones, once.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Conntrack } from '../netlink/netfilter/connect-conntrack.ts';
import type { ConnectionTuple } from '../netlink/netfilter/conntrack.ts';
import type { FastFlow } from './programs/layout.ts';

export interface IdleFlowsOptions {
  /** All that programs know. */
  readonly flows: () => Iterable<FastFlow>;
  /** Stays the caller's. */
  readonly conntrack: Pick<Conntrack, 'keepIdle'>;
  /** Seconds until an idle connection is forgotten; undefined where none are tracked. */
  readonly timeout: () => number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly now?: () => bigint;
}

/** Milliseconds between two looks: often enough for five minutes. */
const LOOK = 60_000;
/** Without a proof for so many nanoseconds a flow is idle. */
const IDLE = 30_000_000_000n;
/** Flows before everything else gets its turn. */
const MOST_PER_TURN = 256;

export class IdleFlows {
  readonly #options: IdleFlowsOptions;
  /** Flow -> the end of its last proof when it was dealt with. */
  #done = new Map<string, bigint>();
  #hasFailed = false;

  constructor(options: IdleFlowsOptions) {
    this.#options = options;
  }

  /** Until the signal aborts, which ends it without an error. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(LOOK, signal).catch(() => undefined);
      try {
        if (!signal.aborted) await this.look(signal);
        this.#hasFailed = false;
      } catch (error) {
        if (!this.#hasFailed && !signal.aborted)
          log.warn(
            { err: error },
            'idle connections whose packets took the fast path may be forgotten early',
          );
        this.#hasFailed = true;
      }
    }
  }

  /** @returns how many connections were given another timeout. @throws NetlinkError, SysError */
  async look(signal: AbortSignal): Promise<number> {
    const { flows, conntrack, timeout, now = () => process.hrtime.bigint() } = this.#options;
    const wanted = timeout();
    if (wanted === undefined) return 0;
    const done = new Map<string, bigint>();
    const end = now() - IDLE;
    let [seen, kept] = [0, 0];
    for (const flow of flows()) {
      if (signal.aborted) return kept;
      if (++seen % MOST_PER_TURN === 0) await setImmediate();
      const { state, protocol } = flow;
      const until = state.sentUntil > state.deliveredUntil ? state.sentUntil : state.deliveredUntil;
      if (protocol !== 'tcp' || until === 0n || until > end) continue;
      if (state.sentPackets === 0n && state.deliveredPackets === 0n) continue;
      const tuple = tupleOf(flow);
      const key = `${tuple.source}:${tuple.sourcePort} ${tuple.destination}:${tuple.destinationPort}`;
      if (this.#done.get(key) !== until && (await conntrack.keepIdle(tuple, wanted))) kept++;
      done.set(key, until);
    }
    this.#done = done;
    return kept;
  }
}

const tupleOf = ({ local, remote, localPort, remotePort }: FastFlow): ConnectionTuple => ({
  source: local,
  destination: remote,
  sourcePort: localPort,
  destinationPort: remotePort,
});
