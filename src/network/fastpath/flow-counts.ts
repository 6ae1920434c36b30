/** Flows that the programs know, counted by network and by peer. There may be tens of thousands: each is looked at once. */
import { setImmediate } from 'node:timers/promises';
import type { FastPathCounts } from '../../api/fast-path.ts';
import type { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';

/** A flow as the agent counts it. */
export interface KnownFlow {
  readonly vni: number;
  /** The container on the other host. */
  readonly remote: Ip;
  /** Whether packets of one direction at least take the fast path now. */
  readonly isFast: boolean;
  /** What took the fast path, since the flow is known. */
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
}

class Counter implements FastPathCounts {
  flows = 0;
  sentPackets = 0;
  sentBytes = 0;
  receivedPackets = 0;
  receivedBytes = 0;

  add(counts: Omit<FastPathCounts, 'flows'>, flows: number): void {
    this.flows += flows;
    this.sentPackets += counts.sentPackets;
    this.sentBytes += counts.sentBytes;
    this.receivedPackets += counts.receivedPackets;
    this.receivedBytes += counts.receivedBytes;
  }
}

/** Flows before everything else gets its turn: some milliseconds of work. */
const MOST_PER_TURN = 512;

export class FlowCounts {
  /** By VNI, and there by address of the other container. */
  readonly #networks = new Map<
    number,
    Map<number | bigint, { readonly ip: Ip; readonly counter: Counter }>
  >();

  /** Counts as many as there are, and whatever else the agent does gets its turns meanwhile. */
  static async count(flows: Iterable<KnownFlow>): Promise<FlowCounts> {
    const counts = new FlowCounts();
    let seen = 0;
    for (const flow of flows) {
      counts.#add(flow);
      if (++seen % MOST_PER_TURN === 0) await setImmediate();
    }
    return counts;
  }

  #add(flow: KnownFlow): void {
    let network = this.#networks.get(flow.vni);
    if (network === undefined) this.#networks.set(flow.vni, (network = new Map()));
    let known = network.get(flow.remote.key);
    if (known === undefined)
      network.set(flow.remote.key, (known = { ip: flow.remote, counter: new Counter() }));
    known.counter.add(flow, Number(flow.isFast));
  }

  get isEmpty(): boolean {
    return this.#networks.size === 0;
  }

  of(vnis: Iterable<number>): FastPathCounts {
    const total = new Counter();
    for (const { counter } of this.#remotes(vnis)) total.add(counter, counter.flows);
    const { flows, sentPackets, sentBytes, receivedPackets, receivedBytes } = total;
    return { flows, sentPackets, sentBytes, receivedPackets, receivedBytes };
  }

  /** By key of the block of this length that the other container is in. */
  byBlock(vnis: Iterable<number>, length: number): ReadonlyMap<number | bigint, FastPathCounts> {
    const blocks = new Map<number | bigint, Counter>();
    for (const { ip, counter } of this.#remotes(vnis)) {
      const { key } = Prefix.of(ip, length);
      let total = blocks.get(key);
      if (total === undefined) blocks.set(key, (total = new Counter()));
      total.add(counter, counter.flows);
    }
    return blocks;
  }

  *#remotes(vnis: Iterable<number>) {
    for (const vni of vnis) yield* this.#networks.get(vni)?.values() ?? [];
  }
}
