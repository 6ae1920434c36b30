/**
 * What is said over a forwarder's control socket: lines of JSON. The forwarder says Hello first, and answers every
 * request with a line that has its id. docs/reference/forwarder.md shows the lines.
 */
import * as v from 'valibot';
import { messageOf } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { DROP_REASONS } from '../path/counters.ts';
import { type ForwarderRoute, MOST_ROUTES } from '../path/route-table.ts';

/** Changes when an older or newer program would misunderstand a line. */
export const CONTROL_VERSION = 1;

/** A whole table of MOST_ROUTES fits in one line. */
export const LONGEST_LINE = 16 * 1024 * 1024;

/** Text that `parse` makes a value of; what it throws is the complaint. */
function parsed<T>(parse: (text: string) => T) {
  return v.pipe(
    v.string(),
    v.maxLength(64),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        return parse(dataset.value);
      } catch (error) {
        addIssue({ message: messageOf(error) });
        return NEVER;
      }
    }),
  );
}

/** RFC 791: every host must take 576 bytes. Above, what fits a datagram. */
export const LEAST_ROUTE_MTU = 576;
export const LARGEST_ROUTE_MTU = 65_507;

const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const Mtu = v.pipe(v.number(), v.integer(), v.minValue(LEAST_ROUTE_MTU), v.maxValue(LARGEST_ROUTE_MTU));

const Route = v.strictObject({
  subnet: parsed(Prefix.parse),
  remote: parsed(Ip.parse),
  port: Port,
  mtu: v.exactOptional(Mtu),
});

const Id = v.pipe(v.number(), v.integer(), v.minValue(0));

export const ControlRequest = v.variant('do', [
  /** The whole table, instead of what is there; `own`: this host's overlay addresses, one of each family at most. */
  v.strictObject({
    do: v.literal('table'),
    id: Id,
    own: v.pipe(v.array(parsed(Ip.parse)), v.maxLength(2)),
    routes: v.pipe(v.array(Route), v.maxLength(MOST_ROUTES)),
  }),
  v.strictObject({ do: v.literal('set'), id: Id, route: Route }),
  v.strictObject({ do: v.literal('delete'), id: Id, subnet: parsed(Prefix.parse) }),
  v.strictObject({ do: v.literal('stats'), id: Id }),
  /** Answered when both threads work. */
  v.strictObject({ do: v.literal('check'), id: Id }),
  /** Let go of device and sockets, answer with the table, and end: the sender takes over. */
  v.strictObject({ do: v.literal('yield'), id: Id }),
  v.strictObject({ do: v.literal('stop'), id: Id }),
]);
export type ControlRequest = v.InferOutput<typeof ControlRequest>;

/** A ProcessId as it is written down. */
export const ProcessIdText = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  started: v.pipe(v.number(), v.integer(), v.minValue(0)),
});

/** The first line of a forwarder. */
export const Hello = v.object({
  hello: v.literal('tulle forwarder'),
  control: v.number(),
  version: v.string(),
  /** Its number and the time of its birth: the latter tells it from another process with that number. */
  process: ProcessIdText,
  device: v.string(),
  /** `192.0.2.1:8285`, `[2001:db8::1]:8285`. */
  listen: v.array(v.string()),
  mtu: v.number(),
});
export type Hello = v.InferOutput<typeof Hello>;

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const trafficFields = {
  sentPackets: Count,
  sentBytes: Count,
  receivedPackets: Count,
  receivedBytes: Count,
  drops: v.object(Object.fromEntries(DROP_REASONS.map(reason => [reason, v.exactOptional(Count)]))),
};

/** Answer of `stats`. */
export const ForwarderStats = v.object({
  /** What belongs to no route. */
  host: v.object(trafficFields),
  routes: v.array(v.object({ subnet: v.string(), remote: v.string(), port: Port, ...trafficFields })),
});
export type ForwarderStats = v.InferOutput<typeof ForwarderStats>;

/** A table as it travels: what `table` takes and `yield` answers with. */
export const TableText = v.object({
  own: v.array(parsed(Ip.parse)),
  routes: v.array(Route),
});

export interface ForwarderTable {
  /** This host's addresses in the overlay, at most one of each family: the source of ICMP errors. */
  readonly own: readonly Ip[];
  readonly routes: readonly ForwarderRoute[];
}

/** Any answer: `ok` with what was asked for, or `error`. */
export const Answer = v.variant('ok', [
  v.object({ id: Id, ok: v.literal(true), result: v.optional(v.unknown()) }),
  v.object({ id: v.nullable(Id), ok: v.literal(false), error: v.string() }),
]);
export type Answer = v.InferOutput<typeof Answer>;

/** Where a datagram socket listens, as text. */
export function formatListen(ip: Ip, port: number): string {
  return ip.family === 'ipv4' ? `${ip}:${port}` : `[${ip}]:${port}`;
}
