/**
 * Clears TCP flows for the fast path. What a fast flow sends, connection tracking does not see, so the window that it knows
 * gets old, and the first packet that takes the normal path again would be INVALID to it. So a program asks here before it
 * lets a flow take the fast path: its key comes through a ring buffer, connection tracking is told to accept any window of
 * the flow, and then the key is written where programs find it. A flow that asks again, after a lot of bytes, gets the same
 * once more (`acceptAnyWindow` says what for).
 *
 * Nobody waits for it: until then a flow takes the normal path, and one whose record found no room asks again.
 */
import { setImmediate } from 'node:timers/promises';
import { Ip } from '../base/ip.ts';
import type { Logger } from '../base/log.ts';
import type { BpfMap } from '../bpf/map.ts';
import type { RingBuffer } from '../bpf/ring-buffer.ts';
import type { NetlinkError } from '../netlink/errors.ts';
import type { Conntrack } from '../netlink/netfilter/connect-conntrack.ts';
import type { ConnectionTuple } from '../netlink/netfilter/conntrack.ts';
import type { IdleFlows } from './idle-flows.ts';
import { FLOW_KEY } from './programs/layout.ts';

export interface ClearanceOptions {
  /** Keys of flows that ask. */
  readonly unproven: Pick<RingBuffer, 'take' | 'readable'>;
  /** Keys of flows that were cleared. */
  readonly cleared: Pick<BpfMap, 'set' | 'options'>;
  /** Owned from now on. */
  readonly conntrack: Conntrack;
  /** Whether this kernel tracks connections at all: without, there is no window that could get old. */
  readonly isTracking: () => boolean;
  readonly log: Logger;
  /** Runs as long as this. */
  readonly idle?: Pick<IdleFlows, 'run'>;
}

export interface ClearanceCounts {
  /** Records of flows that asked. */
  readonly asked: number;
  /** Any window of theirs is accepted. */
  readonly cleared: number;
  /** Nobody tracks them, so there is nothing to be asked for. */
  readonly untracked: number;
  /** They stay on the normal path. */
  readonly failed: number;
}

/** Flows in one go, 2 to 8 ms of work, before everything else that the process does gets its turn. */
const MOST_PER_TURN = 128;

export class Clearance implements AsyncDisposable {
  readonly #options: ClearanceOptions;
  readonly #closing = new AbortController();
  readonly #counts = { asked: 0, cleared: 0, untracked: 0, failed: 0 };
  readonly #yes: Uint8Array;
  readonly #ended: Promise<void>;
  #obstacle: string | undefined;

  /** Runs until disposal. */
  constructor(options: ClearanceOptions) {
    this.#options = options;
    this.#yes = new Uint8Array(options.cleared.options.valueSize);
    this.#yes[0] = 1;
    this.#ended = Promise.all([this.#run(), options.idle?.run(this.#closing.signal)]).then(
      () => undefined,
      (error: unknown) => this.#fail(error),
    );
  }

  get counts(): ClearanceCounts {
    return { ...this.#counts };
  }

  /** Why TCP stays on the normal path; undefined unless the last answers were all refusals. */
  get obstacle(): string | undefined {
    return this.#obstacle;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const records = this.#options.unproven.take(MOST_PER_TURN);
      if (records.length > 0) await this.#clear(records);
      else await this.#options.unproven.readable(signal);
      await setImmediate();
    }
  }

  async #clear(records: readonly Uint8Array[]): Promise<void> {
    this.#counts.asked += records.length;
    const keys = [...new Map(records.map(key => [String(key), key])).values()];
    const results = await this.#options.conntrack.acceptAnyWindow(keys.map(tupleOf));
    if (this.#closing.signal.aborted) return;
    const failures: unknown[] = [];
    for (const [index, error] of results.entries()) {
      const outcome = this.#outcomeOf(error);
      try {
        if (outcome !== 'failed') this.#options.cleared.set(keys[index] as Uint8Array, this.#yes);
        else failures.push(error);
        this.#counts[outcome]++;
      } catch (cause) {
        this.#counts.failed++;
        failures.push(cause);
      }
    }
    if (failures.length === keys.length) this.#fail(failures[0]);
    else this.#recover();
  }

  #outcomeOf(error: NetlinkError | undefined): 'cleared' | 'untracked' | 'failed' {
    if (error === undefined) return 'cleared';
    if (error.code === 'ENOENT') return 'untracked';
    const isMissing = error.code === 'EINVAL' || error.code === 'EPROTONOSUPPORT';
    return isMissing && !this.#options.isTracking() ? 'untracked' : 'failed';
  }

  #fail(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    const isNew = this.#obstacle === undefined;
    this.#obstacle = `connection tracking cannot be told of fast flows: ${
      error instanceof Error ? error.message : String(error)
    }`;
    if (isNew) this.#options.log.warn({ err: error }, 'TCP stays on the normal path');
  }

  #recover(): void {
    if (this.#obstacle !== undefined) this.#options.log.info({}, 'TCP may take the fast path');
    this.#obstacle = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#ended;
    await this.#options.conntrack[Symbol.asyncDispose]();
  }
}

/** @throws CodecError */
function tupleOf(key: Uint8Array): ConnectionTuple {
  const { local, remote, localPort, remotePort } = FLOW_KEY.decode(key);
  return {
    source: Ip.fromKey(local),
    destination: Ip.fromKey(remote),
    sourcePort: localPort,
    destinationPort: remotePort,
  };
}
