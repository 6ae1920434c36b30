/** Links of the fake kernel, and what happens to everything else when they go. */
import { Mac } from '../../base/mac.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from '../../netlink/constants.ts';
import type { BridgePort } from '../../netlink/route/bridge-port.ts';
import { IFF_LOWER_UP, IFF_UP } from '../../netlink/route/constants.ts';
import type { LinkInfo, VxlanInfo } from '../../netlink/route/link-info.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { enterBridge, flushFdb, flushNeighbors, leaveBridge } from './fake-neighbors.ts';
import { FakeRefusal } from './fake-refusal.ts';
import { addConnectedRoute, flushAddresses, flushRouting } from './fake-routing.ts';
import type { FakeState } from './fake-state.ts';

const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const IFF_LOOPBACK = 8;
const IFF_RUNNING = 0x40;
/** What Ethernet links have: BROADCAST and MULTICAST. */
const ETHERNET_FLAGS = 0x1002;
/** What a link has that is up: its carrier is always there. */
const UP_FLAGS = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

/** The kernel's defaults for a vxlan link. */
const VXLAN_DEFAULTS: Omit<VxlanInfo, 'kind'> = {
  ttl: 0,
  tos: 0,
  df: 0,
  label: 0,
  learning: true,
  proxy: false,
  rsc: false,
  l2miss: false,
  l3miss: false,
  collectMetadata: false,
  ageing: 300,
  limit: 0,
  port: 8472,
  portRange: { low: 0, high: 0 },
  udpCsum: true,
  udpZeroCsum6Tx: false,
  udpZeroCsum6Rx: false,
  remcsumTx: false,
  remcsumRx: false,
  localbypass: true,
};

/** The kernel's defaults for a port of a bridge. */
const PORT_DEFAULTS: Required<BridgePort> = {
  state: 0,
  hairpin: false,
  learning: true,
  unicastFlood: true,
  multicastFlood: true,
  broadcastFlood: true,
  neighborSuppression: false,
  isolated: false,
  locked: false,
};

/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet one. */
const VXLAN_OVERHEAD = 50;

/** A request about a link: only what it mentions. */
export interface LinkRequest {
  readonly index: number;
  readonly name?: string;
  readonly altName?: string;
  readonly flags: number;
  readonly change: number;
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly master?: number;
  readonly lower?: number;
  readonly txQueueLength?: number;
  readonly alias?: string;
  readonly group?: number;
  readonly info?: LinkInfo;
  readonly port?: BridgePort;
}

export function loopback(): Link {
  return {
    index: 1,
    name: 'lo',
    type: ARPHRD_LOOPBACK,
    flags: IFF_LOOPBACK,
    up: false,
    running: false,
    mtu: 65536,
    mac: Mac.fromBytes(new Uint8Array(6)),
  };
}

/** The link a request is about. @throws FakeRefusal ENODEV */
export function findLink({ links }: FakeState, { index, name, altName }: LinkRequest): Link {
  const link =
    index > 0
      ? links.get(index)
      : [...links.values()].find(
          one => one.name === name || (altName !== undefined && one.altNames?.includes(altName)),
        );
  if (link === undefined) throw new FakeRefusal('ENODEV');
  return link;
}

/** RTM_NEWLINK: makes a link, or changes the one it is about. */
export function setLink(state: FakeState, request: LinkRequest, flags: number): void {
  let known: Link | undefined;
  try {
    known = findLink(state, request);
  } catch (error) {
    if ((flags & NLM_F_CREATE) === 0) throw error;
  }
  if (known !== undefined && flags & NLM_F_EXCL) throw new FakeRefusal('EEXIST');
  if (known === undefined) addLink(state, request);
  else changeLink(state, known, request);
}

/** A device that was not made by a request: an Ethernet card. */
export function plugIn(state: FakeState, link: Pick<Link, 'name'> & Partial<Link>): Link {
  const up = link.up ?? false;
  const index = link.index ?? nextIndex(state);
  const added: Link = {
    index,
    type: ARPHRD_ETHER,
    flags: ETHERNET_FLAGS | (up ? UP_FLAGS : 0),
    up,
    running: up,
    mtu: 1500,
    // The same in every run, so that a test can print it.
    mac: Mac.fromBytes(Uint8Array.of(0x02, 0xfa, 0x4e, 0, index >> 8, index)),
    ...link,
  };
  state.links.set(added.index, added);
  state.lastIndex = Math.max(state.lastIndex, added.index);
  if (added.master !== undefined) enterBridge(state, added);
  state.announce({ type: 'link', gone: false, link: added });
  return added;
}

/** As in the kernel, none that a link had before. */
const nextIndex = ({ lastIndex }: FakeState): number => lastIndex + 1;

function addLink(state: FakeState, request: LinkRequest): void {
  const { name, info, flags, mtu, mac, master, lower, txQueueLength } = request;
  if (info === undefined || name === undefined) throw new FakeRefusal('EINVAL');
  if (info.kind === 'vxlan') checkVxlan(state, info);
  const peerIndex = nextIndex(state) + 1;
  const common = {
    up: (flags & IFF_UP) !== 0,
    ...(mtu === undefined ? {} : { mtu }),
    ...(mac === undefined ? {} : { mac }),
    ...(master === undefined ? {} : { master, port: PORT_DEFAULTS }),
    ...(txQueueLength === undefined ? {} : { txQueueLength }),
  };
  if (info.kind === 'veth') {
    const own = peerIndex - 1;
    plugIn(state, { ...common, name, info: { kind: 'veth' }, lower: peerIndex });
    const { name: peerName = `veth${peerIndex}`, mtu: peerMtu = 1500, mac: peerMac } = info.peer ?? {};
    plugIn(state, {
      name: peerName,
      mtu: peerMtu,
      ...(peerMac === undefined ? {} : { mac: peerMac }),
      info: { kind: 'veth' },
      lower: own,
    });
    return;
  }
  const underlay = info.kind === 'vxlan' ? state.links.get(info.link ?? 0)?.mtu : undefined;
  plugIn(state, {
    ...(underlay === undefined ? {} : { mtu: underlay - VXLAN_OVERHEAD }),
    ...common,
    name,
    info: info.kind === 'vxlan' ? { ...VXLAN_DEFAULTS, ...info } : info,
    ...(lower === undefined ? {} : { lower }),
  });
}

function checkVxlan(
  state: FakeState,
  { id, port = VXLAN_DEFAULTS.port, link, collectMetadata }: VxlanInfo,
): void {
  if (collectMetadata !== true && (id === undefined || id >= 1 << 24)) throw new FakeRefusal('ERANGE');
  if (link !== undefined && !state.links.has(link)) {
    throw new FakeRefusal('ENODEV', 'Invalid local interface, device not found');
  }
  const twin = [...state.links.values()].some(
    ({ info }) => info?.kind === 'vxlan' && info.id === id && info.port === port,
  );
  if (twin) throw new FakeRefusal('EEXIST', 'A VXLAN device with the specified VNI already exists');
}

function changeLink(state: FakeState, link: Link, request: LinkRequest): void {
  const { name, change, mtu, mac, master, txQueueLength, alias, group, port } = request;
  if (port !== undefined && link.master === undefined) throw new FakeRefusal('EOPNOTSUPP');
  if (name !== undefined && name !== link.name && [...state.links.values()].some(one => one.name === name)) {
    throw new FakeRefusal('EEXIST');
  }
  if (master !== undefined && master !== 0 && state.links.get(master)?.info?.kind !== 'bridge') {
    throw new FakeRefusal(state.links.has(master) ? 'EOPNOTSUPP' : 'EINVAL');
  }
  const info = changedInfo(link.info, request.info);
  const up = change & IFF_UP ? (request.flags & IFF_UP) !== 0 : link.up;
  const { master: oldMaster, port: oldPort, ...rest } = link;
  const newMaster = master ?? oldMaster;
  const isMoved = newMaster !== oldMaster;
  const changed: Link = {
    ...rest,
    ...(newMaster ? { master: newMaster, port: isMoved ? PORT_DEFAULTS : { ...oldPort, ...port } } : {}),
    ...(name === undefined ? {} : { name }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(mac === undefined ? {} : { mac }),
    ...(txQueueLength === undefined ? {} : { txQueueLength }),
    ...(alias === undefined ? {} : { alias }),
    ...(group === undefined ? {} : { group }),
    ...(info === undefined ? {} : { info }),
    up,
    running: up,
    flags: (link.flags & ~UP_FLAGS) | (up ? UP_FLAGS : 0),
  };
  state.links.set(link.index, changed);
  if (isMoved && oldMaster !== undefined) leaveBridge(state, link);
  if (isMoved && newMaster) enterBridge(state, changed);
  if (port !== undefined)
    state.announce({ type: 'port', gone: false, index: link.index, port: { ...oldPort, ...port } });
  if (mac !== undefined && !mac.equals(link.mac)) flushNeighbors(state, link.index);
  if (link.up && !up) {
    flushNeighbors(state, link.index);
    flushFdb(state, link.index, 'learned');
    flushRouting(state, link.index);
  }
  state.announce({ type: 'link', gone: false, link: changed });
  if (!link.up && up) {
    for (const address of state.addresses)
      if (address.index === link.index) addConnectedRoute(state, address);
  }
}

/** @throws FakeRefusal */
function changedInfo(old: LinkInfo | undefined, asked: LinkInfo | undefined): LinkInfo | undefined {
  if (asked === undefined) return old;
  if (old?.kind !== asked.kind) throw new FakeRefusal('EOPNOTSUPP');
  if (old.kind === 'vxlan' && asked.kind === 'vxlan') {
    if ((asked.id ?? old.id) !== old.id) throw new FakeRefusal('EOPNOTSUPP', 'Cannot change VNI');
    if ((asked.port ?? old.port) !== old.port)
      throw new FakeRefusal('EOPNOTSUPP', 'Cannot change port number');
  }
  return { ...old, ...asked } as LinkInfo;
}

/** @throws FakeRefusal EOPNOTSUPP for a device no request could make. */
export function deleteLink(state: FakeState, request: LinkRequest): void {
  const { index, name, altName, group } = request;
  const isByGroup = index === 0 && name === undefined && altName === undefined && group !== undefined;
  if (isByGroup && group === 0) throw new FakeRefusal('EPERM');
  const links = isByGroup
    ? [...state.links.values()].filter(link => link.group === group)
    : [findLink(state, request)];
  if (links.length === 0) throw new FakeRefusal('ENODEV');
  if (links.some(({ info }) => info === undefined)) throw new FakeRefusal('EOPNOTSUPP');
  for (const link of links) remove(state, link);
}

function remove(state: FakeState, link: Link): void {
  if (!state.links.delete(link.index)) return;
  flushNeighbors(state, link.index);
  flushFdb(state, link.index, 'all');
  flushRouting(state, link.index);
  flushAddresses(state, link);
  state.announce({ type: 'link', gone: true, link });
  for (const other of state.links.values()) {
    const standsOn = other.info !== undefined && 'link' in other.info ? other.info.link : other.lower;
    if (standsOn === link.index) remove(state, other);
    else if (other.master === link.index)
      changeLink(state, other, { index: other.index, flags: 0, change: 0, master: 0 });
  }
}
