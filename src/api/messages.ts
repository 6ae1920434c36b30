/** The smaller messages of the API: events, and the answers and refusals of requests that do something. */
import * as v from 'valibot';
import { ConfigError, messageOf, TulleError } from '../base/errors.ts';

/** Where the agent listens by default. */
export const DEFAULT_SOCKET = '/run/tulle/agent.sock';

/** What can happen on a host, each a stable word. docs/reference/warnings.md says when. */
export const EVENT_TYPES = [
  'start',
  'stop',
  'state',
  'condition',
  'warning',
  'warning-ended',
  'lease-acquired',
  'lease-published',
  'lease-reserved',
  'lease-waiting',
  'lease-unconfirmed',
  'lease-overwritten',
  'lease-claimed',
  'lease-conflict',
  'lease-lost',
  'lease-released',
  'lease-kept',
  'leases-forgotten',
  'lease-rejected',
  'lease-accepted',
  'lease-withdrawn',
  'underlay-changed',
  'network-changed',
  'handover',
  'peer-added',
  'peer-removed',
  'peer-changed',
  'peer-way',
  'peer-differs',
  'peer-unreachable',
  'peer-reachable',
  'peer-silent',
  'peer-loss',
  'peer-answers',
  'no-peer-answers',
  'network-ready',
  'network-removed',
  'network-key-rejected',
  'network-key-accepted',
  'network-keys-forgotten',
  'range-lost',
  'address-conflict',
  'peer-api',
  'subnet-file-changed',
  'drift-repaired',
  'state-repaired',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Something that happened on this host: one line of `GET /v1/events`. */
export const AgentEvent = v.object({
  /** Grows by one; starts again at 1 with the agent. */
  id: v.pipe(v.number(), v.integer(), v.minValue(1)),
  time: v.pipe(v.string(), v.isoTimestamp()),
  severity: v.picklist(['info', 'warning', 'error']),
  /** One of EVENT_TYPES, or one of a newer agent's. */
  type: v.string(),
  /** One sentence for people. */
  text: v.string(),
  /** The facts of it: names, addresses, counts. */
  fields: v.record(v.string(), v.unknown()),
});
export type AgentEvent = v.InferOutput<typeof AgentEvent>;

/** Answer of `POST /v1/resync`: the kernel was compared with the wanted state just now. */
export const ResyncResult = v.object({
  inSync: v.boolean(),
  /** Netlink requests that were needed to make it so. */
  writes: v.number(),
  /** What could not be repaired, one sentence each. */
  failures: v.array(v.string()),
});
export type ResyncResult = v.InferOutput<typeof ResyncResult>;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Packets and bytes since the forwarder was started, and packets that went no further, by reason (docs/reference/forwarder.md). */
const traffic = {
  sentPackets: count,
  sentBytes: count,
  receivedPackets: count,
  receivedBytes: count,
  drops: v.record(v.string(), count),
};

/** Answer of `GET /v1/forwarder`: what the program that moves packets in user space has counted. */
export const ForwarderTraffic = v.object({
  /** What belongs to no peer. */
  host: v.object(traffic),
  peers: v.array(v.object({ subnet: v.string(), ...traffic })),
});
export type ForwarderTraffic = v.InferOutput<typeof ForwarderTraffic>;

/** Answer of `POST /v1/lease/release`: the subnet is free for others, and the agent stops. */
export const ReleaseResult = v.object({
  /** Key of the lease that was given back; absent when there was none. */
  released: v.exactOptional(v.string()),
});
export type ReleaseResult = v.InferOutput<typeof ReleaseResult>;

/** Body of every answer that is not 2xx (in the spirit of RFC 9457). */
export const Refusal = v.object({
  code: v.string(),
  message: v.string(),
  hint: v.exactOptional(v.string()),
  /** One by one, where the request itself is wrong or something is in its way. */
  problems: v.exactOptional(
    v.array(
      v.object({
        path: v.string(),
        value: v.exactOptional(v.unknown()),
        message: v.string(),
        hint: v.exactOptional(v.string()),
      }),
    ),
  ),
});
export type Refusal = v.InferOutput<typeof Refusal>;

/** Why a request failed, as its caller is answered. */
export function refusalFor(error: unknown): Refusal {
  const { code, hint } = error instanceof TulleError ? error : { code: 'INTERNAL', hint: undefined };
  return {
    code,
    message: messageOf(error),
    ...(hint !== undefined && { hint }),
    ...(error instanceof ConfigError && { problems: [...error.problems] }),
  };
}
