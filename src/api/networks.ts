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

/** An L2 network, in short; `GET /v1/networks` has what is on it. */
export const L2NetworkStatus = v.object({
  name: text,
  vni: count,
  /** ready: in place; waiting: not made yet; failed: it cannot be made, or not all of it. */
  state: v.picklist(['ready', 'waiting', 'failed']),
  /** Why it is not `ready`. */
  reason: v.exactOptional(text),
  /** Name of its bridge on this host; absent while there is no underlay. */
  bridge: v.exactOptional(text),
  mtu: v.exactOptional(count),
  /** Whether something of this host is on it. */
  member: v.boolean(),
  /** Hosts that have something on it, and known containers, here and elsewhere. */
  members: count,
  endpoints: count,
});

export type L2NetworkStatus = v.InferOutput<typeof L2NetworkStatus>;

/** An L2 network on this host: one of `GET /v1/networks`. */
export const NetworkOnHost = v.object({
  ...L2NetworkStatus.entries,
  /** Name of the port of the bridge that leads to the other hosts; absent while there is no underlay. */
  tunnel: v.exactOptional(text),
  /** UDP port. */
  port: count,
  /** Underlay addresses to which flooded frames are sent. */
  floods: v.array(text),
  /** Links of containers, which are ports of the bridge. */
  ports: v.array(text),
  /** What is not as it should be although the network works, one sentence each. */
  problems: v.array(text),
  /** Frames that went no further, by reason (docs/guide/l2-networks.md); absent while rules cannot be read. */
  drops: v.exactOptional(v.record(text, count)),
});
export type NetworkOnHost = v.InferOutput<typeof NetworkOnHost>;
export const NetworksOnHost = v.array(NetworkOnHost);

/** A Docker network of the plugin on this host. */
export const DockerNetworkStatus = v.object({
  /** In Docker; the start of its id until Docker has told. */
  name: text,
  /** In the cluster; `default` is the overlay. Absent until it is known. */
  network: v.exactOptional(text),
  /** ready: containers can be put on it; waiting: the cluster does not have it; failed: it cannot be used. */
  state: v.picklist(['ready', 'waiting', 'failed']),
  /** Why it is not `ready`. */
  reason: v.exactOptional(text),
  /** What of this host is on it. */
  containers: count,
});

export type DockerNetworkStatus = v.InferOutput<typeof DockerNetworkStatus>;
