/**
 * The events of one packet, in order, made into the list of its hops: pure. A packet runs through the base chains of
 * each hook it comes to; the first event of each run has the packet's headers as they are then, so that a translation of
 * addresses shows at the next run.
 */
import { defined } from '../../base/defined.ts';
import type { ConnectionState, TraceEvent, TraceVerdict } from '../../netlink/netfilter/trace-event.ts';
import { readTracedPacket, type TracedPacket } from './packet.ts';
import type { ListedRule, Ruleset } from './ruleset.ts';

/** An event of nftables, or of iptables-legacy with a family of its own. */
export type HopEvent = Omit<TraceEvent, 'family'> & { readonly family: string };

/** One decision about a packet: a rule that applied, the end of a chain, or the policy of a base chain. */
export interface TraceHop {
  /** `prerouting`, `forward`, ...; that of the base chain, for the chains that it jumps to as well. */
  readonly hook: string;
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly kind: TraceEvent['kind'];
  /** Of `kind` "rule"; without text when the rule was gone before it could be read. */
  readonly rule?: { readonly handle: bigint } & Partial<ListedRule>;
  readonly verdict: TraceVerdict;
  /** The chain of a jump or goto. */
  readonly target?: string;
  /** Of the base chain, where it decided. */
  readonly policy?: string;
  /** Names of links. */
  readonly input?: string;
  readonly output?: string;
  /** As the packet came to the base chain. */
  readonly packet: TracedPacket;
  /** As it left a base chain of type nat that has changed its addresses or ports: at the last hop of the chain's run. */
  readonly translated?: TracedPacket;
  readonly state?: ConnectionState;
}

/** How the way of a packet ended. */
export type TraceEnd =
  /** To a program of this host. */
  | { readonly kind: 'delivered'; readonly packet: TracedPacket; readonly input?: string }
  | { readonly kind: 'sent'; readonly packet: TracedPacket; readonly output?: string }
  /** By the last hop. */
  | { readonly kind: 'dropped'; readonly packet: TracedPacket; readonly hop: TraceHop }
  /** By something outside of netfilter, a route for example: no event of it came after this hook. */
  | { readonly kind: 'lost'; readonly packet: TracedPacket; readonly after: string }
  /** There was more than should be read. */
  | { readonly kind: 'cut'; readonly packet: TracedPacket };

export interface PacketTrace {
  /** As it was when it was first seen, and by which link it came in. */
  readonly packet: TracedPacket;
  readonly input?: string;
  readonly hops: readonly TraceHop[];
  readonly end: TraceEnd;
}

export interface HopOptions {
  readonly rules: Ruleset;
  /** Name of the table that marks and watches the packet, which is none of its hops. */
  readonly ownTable: string;
  readonly linkName: (index: number) => string;
  /** Not all events are here: there were too many. */
  readonly isCut: boolean;
}

/** Those of a base chain from the first event on, until the packet comes to the next one. */
interface Run {
  readonly hook: string;
  readonly packet: TracedPacket;
  readonly input: string | undefined;
  readonly output: string | undefined;
  readonly state: ConnectionState | undefined;
  readonly events: HopEvent[];
  readonly priority: number;
}

/**
 * undefined without an event that has a packet's headers.
 *
 * @param legacy the events of iptables-legacy, which the kernel tells by another way
 */
export function traceOf(
  events: readonly HopEvent[],
  options: HopOptions,
  legacy: readonly HopEvent[] = [],
): PacketTrace | undefined {
  const ofNftables = runsOf(events, options);
  const runs = legacy.length === 0 ? ofNftables : inOrder([...ofNftables, ...runsOf(legacy, options)]);
  const [first] = runs;
  if (first === undefined) return undefined;
  const hops = runs.flatMap((run, index) => hopsOf(run, runs[index + 1]?.packet, options));
  return {
    packet: first.packet,
    ...defined({ input: first.input }),
    hops,
    end: endOf(runs, hops, options),
  };
}

function runsOf(events: readonly HopEvent[], { rules, ownTable, linkName }: HopOptions): Run[] {
  const runs: Run[] = [];
  for (const event of events) {
    const { family, table, chain, input, output, state, networkHeader, transportHeader } = event;
    const seen = networkHeader && readTracedPacket(networkHeader, transportHeader);
    const last = runs.at(-1);
    if (seen === undefined) {
      last?.events.push(event);
      continue;
    }
    runs.push({
      // Our own chains have the names of their hooks, and may be gone when the rules are read.
      hook:
        table === ownTable
          ? chain
          : (rules.chain(family, table, chain)?.base?.hook ?? last?.hook ?? 'unknown'),
      packet: seen.packet,
      input: input === undefined ? undefined : linkName(input),
      output: output === undefined ? undefined : linkName(output),
      state,
      events: [event],
      priority:
        rules.chain(family, table, chain)?.base?.priority ??
        (isWatching(event, ownTable) ? Infinity : -Infinity),
    });
  }
  return runs;
}

const isWatching = ({ table, chain }: HopEvent, ownTable: string) =>
  table === ownTable && (chain === 'input' || chain === 'postrouting');

/** The hooks in the order in which a packet comes to them, which comes in or which this host makes. */
const ORDER = {
  incoming: ['prerouting', 'input', 'forward', 'postrouting'],
  // One to the host itself leaves by the loopback device, and comes in again.
  own: ['output', 'postrouting', 'prerouting', 'input'],
} as const;

/** Runs that two sources reported, as the kernel has called them: by hook, then by priority. */
function inOrder(runs: readonly Run[]): Run[] {
  const order: readonly string[] = runs.some(({ hook }) => hook === 'output') ? ORDER.own : ORDER.incoming;
  const rank = ({ hook }: Run) => order.indexOf(hook);
  return runs.toSorted((one, other) => rank(one) - rank(other) || one.priority - other.priority || 0);
}

function hopsOf(run: Run, next: TracedPacket | undefined, options: HopOptions): TraceHop[] {
  const { hook, packet, input, output, state } = run;
  const [first] = run.events;
  // The translation of a known connection is no chain's work: connection tracking does it.
  const isNat = first && options.rules.chain(first.family, first.table, first.chain)?.base?.type === 'nat';
  const decisions = run.events.filter(event => isDecision(event, options));
  return decisions.map((event, index) => {
    const { family, table, chain, kind, handle, verdict, target } = event;
    const listed = options.rules.chain(family, table, chain);
    const rule =
      handle === undefined ? undefined : { handle, ...listed?.rules.find(one => one.handle === handle) };
    const isLast = index === decisions.length - 1;
    return defined({
      hook,
      family,
      table,
      chain,
      kind,
      rule,
      verdict,
      target,
      policy: kind === 'policy' ? verdict : undefined,
      input,
      output,
      packet,
      translated: isLast && isNat && next !== undefined && !isSame(packet, next) ? next : undefined,
      state,
    });
  });
}

/** The end of a base chain's rules is said by its policy, too. */
function isDecision({ table, family, chain, kind }: HopEvent, { ownTable, rules }: HopOptions): boolean {
  if (table === ownTable) return false;
  return kind !== 'end' || rules.chain(family, table, chain)?.base === undefined;
}

function isSame(one: TracedPacket, other: TracedPacket): boolean {
  return (
    one.source.equals(other.source) &&
    one.destination.equals(other.destination) &&
    one.sourcePort === other.sourcePort &&
    one.destinationPort === other.destinationPort
  );
}

function endOf(runs: readonly Run[], hops: readonly TraceHop[], options: HopOptions): TraceEnd {
  const last = runs.at(-1) as Run;
  const { packet, hook } = last;
  const hop = hops.at(-1);
  if (hop?.verdict === 'drop') return { kind: 'dropped', packet, hop };
  if (options.isCut) return { kind: 'cut', packet };
  const watched = runs.findLast(({ events }) => events[0]?.table === options.ownTable);
  if (watched?.hook === 'input') return { kind: 'delivered', packet, ...defined({ input: watched.input }) };
  if (watched?.hook === 'postrouting')
    return { kind: 'sent', packet, ...defined({ output: watched.output }) };
  return { kind: 'lost', packet, after: hook };
}
