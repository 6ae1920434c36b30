/**
 * The status document: everything the agent knows about this host, as `GET /v1/status` answers it. The schema
 * is the only definition; both sides take their types from it.
 *
 * Times are ISO 8601 texts in UTC. Addresses, prefixes and MACs are canonical text. A property that is absent
 * is not known or does not apply. Nothing here is ever secret: endpoints come without user and password.
 */
import * as v from 'valibot';
import { FastPathStatus, PeerFastPath } from './fast-path.ts';
import { FirewallStatus } from './firewall-status.ts';
import { ResolverReport } from './names.ts';
import { DockerNetworkStatus, L2NetworkStatus } from './networks.ts';
import { PeerHealth } from './peer-health.ts';
import { WayStatus } from './way-status.ts';

const time = v.pipe(v.string(), v.isoTimestamp());
const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/**
 * starting  no part has reported yet
 * waiting   something that containers need is missing; `reason` names it, and the agent keeps trying
 * degraded  this host does what it should, and something needs attention; `reason` names the worst of it
 * ready     everything is as wanted
 * stopping  a signal or a request came; the data plane stays as it is
 */
export const AGENT_STATES = ['starting', 'waiting', 'degraded', 'ready', 'stopping'] as const;

/** One part the agent's state is made of. `/readyz` is the conjunction of those that are `required`. */
export const Condition = v.object({
  name: v.picklist(['underlay', 'store', 'config', 'lease', 'dataplane', 'firewall', 'subnet-file', 'state']),
  ok: v.boolean(),
  /** Without it containers of this host cannot talk to others. */
  required: v.boolean(),
  /** Stable word for the cause: `NO_CONFIG`, `OUT_OF_SUBNETS`, `STORE_UNAVAILABLE`. */
  code: v.exactOptional(text),
  reason: v.exactOptional(text),
  hint: v.exactOptional(text),
  since: time,
});

/**
 * Something a person should look at. It disappears by itself when its cause does.
 *
 * info     a remark
 * warning  containers can talk, and something is not as it should be
 * error    containers of this host cannot talk with those of others, or not with all or not always
 */
export const Warning = v.object({
  /** Stable: `CONFIG_REFUSED`. One of `docs/reference/warnings.md`. */
  code: text,
  severity: v.picklist(['info', 'warning', 'error']),
  title: text,
  text,
  hint: v.exactOptional(text),
  since: time,
});

/** One value per address family; a family that has none is absent. */
const perFamilyOf = <const T extends v.GenericSchema>(value: T) =>
  v.object({ ipv4: v.exactOptional(value), ipv6: v.exactOptional(value) });
const textPerFamily = perFamilyOf(text);

const UnderlayStatus = v.object({
  link: v.object({
    name: text,
    index: count,
    /** The MTU that the network in use was made for. */
    mtu: count,
    /** The present MTU where it differs: the warning `UNDERLAY_UNFIT` says why the network has not followed it. */
    currentMtu: v.exactOptional(count),
  }),
  /** Addresses of the link. */
  ip: textPerFamily,
  /** Addresses that peers send to. */
  publicIp: textPerFamily,
  /** Which rule chose it: `--iface=eth0`, `default route`. */
  chosenBy: text,
});

const StoreStatus = v.object({
  endpoints: v.array(text),
  prefix: text,
  /** Files that the agent shows itself with and trusts the store by, for other commands on this host. */
  caFile: v.exactOptional(text),
  certFile: v.exactOptional(text),
  keyFile: v.exactOptional(text),
  /** Whose password the agent was given. */
  username: v.exactOptional(text),
  connected: v.boolean(),
  /** Since when `connected` has its value. */
  since: time,
  lastError: v.exactOptional(text),
  /** The last revision seen, in decimal. */
  revision: v.exactOptional(text),
  /** What is in use comes from the disk of this host: the store has not answered since the agent started. */
  cached: v.boolean(),
});

const CertificateStatus = v.object({
  file: text,
  /** Its name: `CN=..., O=...`. */
  subject: text,
  expires: time,
});

const FamilyStatus = v.object({ network: text, subnetLength: count, subnetMin: text, subnetMax: text });

const NetworkStatus = v.object({
  /** The configuration in use; absent until there was a valid one. */
  config: v.exactOptional(
    v.object({
      ...perFamilyOf(FamilyStatus).entries,
      backendType: text,
    }),
  ),
  /** What is wrong with the configuration in the store, when that is not the one in use. */
  problems: v.array(
    v.object({ path: text, value: v.exactOptional(v.unknown()), message: text, hint: v.exactOptional(text) }),
  ),
});

const LeaseReport = v.object({
  /** Last element of the key in the store: `10.5.34.0-24`. */
  key: text,
  subnet: textPerFamily,
  /** Hexadecimal, as etcdctl prints it; absent for a reservation, which has no expiry. */
  storeLease: v.exactOptional(text),
  expires: v.exactOptional(time),
  reservation: v.boolean(),
  /** held: renewed in time; unconfirmed: taken from disk or not renewed lately, kept in use meanwhile. */
  ownership: v.picklist(['held', 'unconfirmed']),
});

const BackendStatus = v.object({
  type: text,
  overlayMtu: count,
  /** How it comes about, as a sum: `[{ what: 'eth0', bytes: 1500 }, { what: 'VXLAN over IPv4', bytes: -50 }]`. */
  mtuParts: v.array(v.object({ what: text, bytes: v.number() })),
  /** As the kernel has them; one that it does not have is no more than its name and kind. */
  devices: v.array(
    v.object({
      name: text,
      kind: text,
      vni: v.exactOptional(count),
      port: v.exactOptional(count),
      mac: v.exactOptional(text),
      mtu: v.exactOptional(count),
      local: v.exactOptional(text),
      addresses: v.exactOptional(v.array(text)),
    }),
  ),
});

const DataPlaneStatus = v.object({
  inSync: v.boolean(),
  /** Entries wanted, and entries that could not be programmed. */
  wanted: count,
  failed: count,
  /** Modifying netlink requests since the agent started. */
  writes: count,
  lastResync: v.exactOptional(time),
  /** Repaired drift by kind of object: `{"route": 2}`. */
  driftRepairs: v.record(v.string(), count),
  /** The last of them, newest first; the events have the facts. */
  recentRepairs: v.array(v.object({ time, text })),
  lastError: v.exactOptional(text),
});

export const PEER_STATES = ['ok', 'pending', 'failed', 'unreachable', 'rejected'] as const;

/**
 * ok           every entry is in the kernel
 * pending      wanted, not compared with the kernel yet
 * failed       the kernel refused an entry, or something else removed it
 * unreachable  a good lease this host makes nothing of: another backend type, unusable data
 * rejected     the key or value in the store is not a usable lease
 */
const PeerStatus = v.object({
  key: text,
  /** Empty when the key names no subnet. */
  subnet: textPerFamily,
  /** Where this host sends packets for the peer. */
  publicIp: textPerFamily,
  /** Identity of a Tulle host; absent when flannel wrote the lease. */
  hostId: v.exactOptional(text),
  /** What that host calls itself. */
  hostName: v.exactOptional(text),
  backendType: v.exactOptional(text),
  /** Where its agent answers other hosts; absent where it does not. */
  peerApi: v.exactOptional(v.object({ port: count })),
  /** Names of the links that packets for it leave over; absent when there are none. */
  links: v.exactOptional(v.array(text)),
  /** Where the backend chooses among several. */
  ways: v.exactOptional(perFamilyOf(WayStatus)),
  /** Absent before it was asked, and where nothing is asked. */
  health: v.exactOptional(perFamilyOf(PeerHealth)),
  /** Absent where no flow with its containers is known, and nothing but what is true of the network stops one. */
  fastPath: v.exactOptional(PeerFastPath),
  state: v.picklist(PEER_STATES),
  /** Why the state is not `ok`. */
  reason: v.exactOptional(text),
  /** Kernel entries in the words of iproute2: `route 10.3.2.0/24 via 10.3.2.0 dev flannel.1 proto 77 onlink`. */
  desired: v.array(text),
  /** The same, as the kernel has them; equal to `desired` when the state is `ok`. */
  actual: v.array(text),
});

/** How the agent answers other hosts (docs/reference/peer-api.md). */
const PeerApiStatus = v.object({
  /** `192.168.65.3:8473`; empty where and while it does not. */
  listening: v.array(text),
  /** Why it does not. */
  reason: v.exactOptional(text),
  /** Files that this host shows itself to others with, and trusts them by. */
  files: v.exactOptional(v.object({ caFile: text, certFile: text, keyFile: text })),
});

export const Status = v.object({
  apiVersion: v.literal(1),
  version: text,
  host: v.object({ id: text, name: text }),
  pid: count,
  startedAt: time,
  uptimeSeconds: count,
  agent: v.object({
    state: v.picklist(AGENT_STATES),
    /** The cause, when the state is neither `ready` nor `stopping`. */
    reason: v.exactOptional(text),
    hint: v.exactOptional(text),
    since: time,
    ready: v.boolean(),
  }),
  conditions: v.array(Condition),
  underlay: v.exactOptional(UnderlayStatus),
  store: StoreStatus,
  /** Those that the agent shows and trusts; on the first host also those of the store. */
  certificates: v.exactOptional(v.array(CertificateStatus)),
  network: NetworkStatus,
  lease: v.exactOptional(LeaseReport),
  backend: v.exactOptional(BackendStatus),
  dataplane: DataPlaneStatus,
  peers: v.array(PeerStatus),
  /** Absent where there are none. */
  l2Networks: v.exactOptional(v.array(L2NetworkStatus)),
  /** Of Docker's plugin; absent where there are none. */
  dockerNetworks: v.exactOptional(v.array(DockerNetworkStatus)),
  firewall: FirewallStatus,
  /** Absent from agents that know of none. */
  fastPath: v.exactOptional(FastPathStatus),
  /** Absent from agents that know of none. */
  peerApi: v.exactOptional(PeerApiStatus),
  /** Absent from agents that know of none. */
  resolver: v.exactOptional(ResolverReport),
  /** Path of the file that Docker and CNI read, once it has been written. */
  subnetFile: v.exactOptional(text),
  warnings: v.array(Warning),
});

export type Status = v.InferOutput<typeof Status>;

/** Whether containers of this host can talk with those of others, as far as this host knows. */
export const containersCanTalk = ({ agent, warnings }: Status): boolean =>
  agent.ready && !warnings.some(({ severity }) => severity === 'error');

export type Condition = v.InferOutput<typeof Condition>;
export type ConditionName = Condition['name'];
export type Warning = v.InferOutput<typeof Warning>;
export type AgentState = (typeof AGENT_STATES)[number];
export type PeerState = (typeof PEER_STATES)[number];
export type PeerStatus = v.InferOutput<typeof PeerStatus>;
export type LeaseReport = v.InferOutput<typeof LeaseReport>;
export type BackendStatus = v.InferOutput<typeof BackendStatus>;
export type UnderlayStatus = v.InferOutput<typeof UnderlayStatus>;
export type FamilyStatus = v.InferOutput<typeof FamilyStatus>;
export type CertificateStatus = v.InferOutput<typeof CertificateStatus>;
export type StoreStatus = v.InferOutput<typeof StoreStatus>;
export type NetworkStatus = v.InferOutput<typeof NetworkStatus>;
export type DataPlaneStatus = v.InferOutput<typeof DataPlaneStatus>;
export type PeerApiStatus = v.InferOutput<typeof PeerApiStatus>;
