/**
 * Follows one packet through the hooks of netfilter, with nftables' own means: a mark on the packet makes the kernel
 * announce each rule that applies to it. Rules of iptables over nftables are among them, those of iptables-legacy come
 * beside them (legacy.ts).
 */
import { TulleError } from '../../base/errors.ts';
import { hasLegacyTables } from '../../firewall/changes.ts';
import { connectNetfilter } from '../../netlink/netfilter/connect.ts';
import type { TraceEvent } from '../../netlink/netfilter/trace-event.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import type { Netns } from '../../sys/netns.ts';
import { TraceError } from './errors.ts';
import { type PacketTrace, traceOf } from './hops.ts';
import { LegacyTrace, legacyChains } from './legacy.ts';
import { TraceMark } from './mark.ts';
import { type PacketSelector, readTracedPacket } from './packet.ts';
import { Ruleset, type RunOnHost, readRulesOf } from './ruleset.ts';

/** Milliseconds that a packet may be waited for. */
const PATIENCE = 5_000;
/** Milliseconds without a word of the packet after which it is given up. */
const SILENCE = 500;
/** Events of one packet; more than any set of rules has that is meant seriously. */
const MOST_EVENTS = 500;

export interface TraceOptions {
  /** Of the host whose rules the packet meets. */
  readonly netns: Netns;
  /** Lists the rules there: `nft`, `iptables-save`. */
  readonly run: RunOnHost;
  readonly packet: PacketSelector;
  /** Makes the packet appear; it is called when the kernel listens. */
  readonly send: (signal: AbortSignal) => Promise<unknown>;
  readonly signal: AbortSignal;
  /** Milliseconds to wait for the first event, from the end of `send` on at the latest. */
  readonly patience?: number;
  /** Milliseconds without an event after which the packet is lost. */
  readonly silence?: number;
  readonly mostEvents?: number;
}

/**
 * The way of the first packet that fits, from its coming in or its making to its end on this host.
 *
 * @returns undefined when none came in time
 * @throws TraceError; RangeError for a selector that no packet can meet; what `send` throws; `signal.reason`
 */
export async function tracePacket(options: TraceOptions): Promise<PacketTrace | undefined> {
  const { netns, run, packet, signal, mostEvents = MOST_EVENTS } = options;
  signal.throwIfAborted();
  using netfilter = connectNetfilter({ netns });
  const stop = new AbortController();
  const events = netfilter.trace(AbortSignal.any([signal, stop.signal]));
  const family = packet.destination.family === 'ipv4' ? 'ip' : 'ip6';
  using legacy = hasLegacyTables(netns)
    ? refusing('the rules of iptables-legacy', LEGACY_HINT, () => new LegacyTrace([family], netfilter, netns))
    : undefined;
  let way: Way;
  let table: string;
  try {
    using mark = refusing('the packet', HINT, () => TraceMark.plant(netfilter, packet));
    table = mark.table;
    way = await collect(events, { ...options, mostEvents, table, stop });
  } finally {
    stop.abort(new Error('the trace is complete'));
  }
  if (way.fingerprint === undefined) return undefined;
  const nftables = await readRulesOf(run);
  const rules =
    legacy === undefined ? nftables : new Ruleset([...nftables.chains, ...(await legacyChains(run, family))]);
  const hopOptions = {
    rules,
    ownTable: table,
    linkName: await linkNamer(netns),
    isCut: way.events.length >= mostEvents || !way.isWhole,
  };
  return traceOf(way.events, hopOptions, legacy?.eventsOf(way.fingerprint, rules));
}

const HINT = 'root is needed, and a kernel with nftables (nf_tables)';
const LEGACY_HINT = 'another program may receive log group 0 (ulogd): stop it meanwhile';

/** @throws TraceError REFUSED for what the kernel says; RangeError */
function refusing<T>(what: string, hint: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof TulleError)) throw cause;
    throw new TraceError('REFUSED', `${what} cannot be traced: ${cause.message}`, { hint, cause });
  }
}

interface Collecting extends TraceOptions {
  readonly mostEvents: number;
  readonly table: string;
  /** Ends the listening. */
  readonly stop: AbortController;
}

/** The way of the first packet that our rule has marked. */
async function collect(
  events: AsyncIterable<TraceEvent | { readonly type: 'overrun' | 'idle' }>,
  { send, signal, table, stop, mostEvents, patience = PATIENCE, silence = SILENCE }: Collecting,
): Promise<Way> {
  const way = new Way(table);
  const deadline = new Deadline(() => stop.abort(new Error('there are no more events of the packet')));
  // What fails before the packet has come fails the trace; how a program ends that has sent it is of no interest.
  const sending = new AbortController();
  let failure: { readonly error: unknown } | undefined;
  const sent = send(AbortSignal.any([signal, sending.signal])).then(
    () => {
      if (!way.hasBegun) deadline.set(patience);
    },
    (error: unknown) => {
      if (way.hasBegun || sending.signal.aborted) return;
      failure = { error };
      // What it has sent before it failed may not have been read yet.
      deadline.set(silence);
    },
  );
  try {
    for await (const event of events) {
      if (event.type === 'trace') {
        if (way.take(event)) deadline.set(silence);
      } else if (event.type === 'overrun') {
        way.isWhole = false;
      } else if (way.hasEnded) break;
      if (way.events.length >= mostEvents) break;
    }
  } finally {
    deadline.clear();
    sending.abort(new Error('the packet has been seen'));
    await sent;
  }
  signal.throwIfAborted();
  if (failure !== undefined && !way.hasBegun) throw failure.error;
  return way;
}

/** One packet among the events of all marked ones. */
class Way {
  readonly events: TraceEvent[] = [];
  /** False when the kernel had to drop events: other programs may mark many packets. */
  isWhole = true;
  readonly #ownTable: string;
  /** Of the passes through the stack that are this packet's. */
  readonly #ids = new Set<number>();
  #fingerprint: string | undefined;
  #hasEnded = false;

  constructor(ownTable: string) {
    this.#ownTable = ownTable;
  }

  /** undefined as long as no packet was marked. */
  get fingerprint(): string | undefined {
    return this.#fingerprint;
  }

  get hasBegun(): boolean {
    return this.#fingerprint !== undefined;
  }

  /** It was dropped, delivered or sent; what follows at once may still be about it. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** @returns whether the event is about this packet */
  take(event: TraceEvent): boolean {
    const { id, networkHeader, transportHeader, table, kind, verdict, chain } = event;
    if (networkHeader !== undefined) {
      const seen = readTracedPacket(networkHeader, transportHeader)?.fingerprint;
      const isMarked = table === this.#ownTable && kind === 'rule';
      if (isMarked) this.#fingerprint ??= seen;
      if (seen !== undefined && seen === this.#fingerprint) this.#ids.add(id);
      else this.#ids.delete(id);
    }
    if (!this.#ids.has(id)) return false;
    this.events.push(event);
    const isWatching = table === this.#ownTable && (chain === 'input' || chain === 'postrouting');
    this.#hasEnded = isWatching || verdict === 'drop';
    return true;
  }
}

/**
 * One timer, set again and again. It runs in two halves: on a busy machine a timer that is late comes before the events
 * that wait to be read, and these are read between the halves.
 */
class Deadline {
  readonly #onEnd: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  set(ms: number): void {
    this.clear();
    const half = ms / 2;
    this.#timer = setTimeout(() => {
      this.#timer = setTimeout(this.#onEnd, half);
    }, half);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

/** Names by index, as they are now. */
async function linkNamer(netns: Netns): Promise<(index: number) => string> {
  await using route = connectRoute({ netns });
  const names = new Map((await route.links.list()).map(({ index, name }) => [index, name]));
  return index => names.get(index) ?? `link ${index}`;
}
