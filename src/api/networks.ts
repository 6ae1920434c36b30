/**
 * Containers on L2 networks as the API speaks of them. Addresses and MACs are text. The bounds here keep a request small;
 * what it means is checked where it is used.
 */
import * as v from 'valibot';

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** A path of a file is the longest (PATH_MAX). */
const word = v.pipe(v.string(), v.minLength(1), v.maxLength(4096));

/** Body of `POST /v1/networks/NAME/connect`. */
export const ConnectBody = v.strictObject({
  /** A namespace of `ip netns` or a Docker container by name, a path, or the id of a process. */
  target: word,
  /** One of each family at most; free ones for the others. */
  ips: v.pipe(v.array(word), v.maxLength(2)),
  mac: v.exactOptional(word),
});
export type ConnectBody = v.InferOutput<typeof ConnectBody>;

/** Body of `POST /v1/networks/NAME/disconnect`. */
export const DisconnectBody = v.strictObject({ target: word });
export type DisconnectBody = v.InferOutput<typeof DisconnectBody>;

export const ConnectReport = v.object({
  network: text,
  container: text,
  addresses: v.array(text),
  mac: text,
  mtu: count,
  /** Name of the link in the namespace, and of the host's end. */
  link: text,
  hostLink: text,
  /** Of the default routes over this network. */
  gateways: v.array(text),
  /** Whether other hosts know of it; they will, as soon as the store answers. */
  published: v.boolean(),
});
export type ConnectReport = v.InferOutput<typeof ConnectReport>;

export const DisconnectReport = v.object({ network: text, container: text, addresses: v.array(text) });
export type DisconnectReport = v.InferOutput<typeof DisconnectReport>;

/** An L2 network on this host: one of `GET /v1/networks`. */
export const NetworkOnHost = v.object({
  name: text,
  /** Names of the bridge and of its port that leads to the other hosts; absent while they cannot be made. */
  bridge: v.exactOptional(text),
  tunnel: v.exactOptional(text),
  mtu: v.exactOptional(count),
  /** Whether both links are in place. */
  ready: v.boolean(),
  /** Why not. */
  reason: v.exactOptional(text),
  /** Links of containers, which are ports of the bridge. */
  ports: v.array(text),
  /** Frames that went no further, by reason (docs/guide/l2-networks.md); absent while rules cannot be read. */
  drops: v.exactOptional(v.record(text, count)),
});
export type NetworkOnHost = v.InferOutput<typeof NetworkOnHost>;
export const NetworksOnHost = v.array(NetworkOnHost);
