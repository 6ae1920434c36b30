/** The fast path in the status document: of this host, of its networks, and of peers that differ from them. */
import type { FastPathNetwork, FastPathObstacle, FastPathStatus, PeerFastPath } from '../../api/fast-path.ts';
import type { PeerStatus } from '../../api/status.ts';
import { defined } from '../../base/defined.ts';
import { Prefix } from '../../base/prefix.ts';
import { OVERLAY_NAME } from './carried-networks.ts';
import { FlowCounts } from './flow-counts.ts';
import { failed, OBSTACLES } from './obstacle.ts';
import type { CarriedNetwork } from './plan.ts';

export interface FastPathFacts {
  /** As they are carried, and what was decided of each; none for one of which nothing was decided yet. */
  readonly networks: readonly CarriedNetwork[];
  readonly decided: readonly FastPathNetwork[];
  readonly flows: FlowCounts;
  /** Packets of containers that took the normal path, by reason. */
  readonly normal: ReadonlyMap<string, number>;
  /** Why nothing of this host can be fast. */
  readonly obstacle: FastPathObstacle | undefined;
  /** What the data plane could not do. */
  readonly failure: string | undefined;
  /** Why no TCP can. */
  readonly tcpObstacle: string | undefined;
}

export interface FastPathReport {
  readonly status: FastPathStatus;
  /** The same peers, with what the fast path is to each. */
  readonly peers: PeerStatus[];
}

/** @param peers of the overlay. @param forwarder name of the device of a program in user space */
export function reportFastPath(
  facts: FastPathFacts,
  peers: readonly PeerStatus[],
  forwarder: string | undefined,
): FastPathReport {
  const counts = facts.flows;
  const networks = facts.networks.map((carried): FastPathStatus['networks'][number] => {
    const decided = facts.decided.find(({ name }) => name === carried.name);
    const obstacle = facts.obstacle ?? (decided === undefined ? carried.obstacle : decided.obstacle);
    return {
      name: carried.name,
      links: decided?.links ?? [],
      without: decided?.without ?? [],
      ...counts.of(vnisOf(carried)),
      ...defined({ obstacle }),
    };
  });
  const used = networks.some(({ links }) => links.length > 0);
  const overlay = facts.networks.find(({ name }) => name === OVERLAY_NAME);
  const blockCounts = new Map<number, ReturnType<FlowCounts['byBlock']>>();
  const ofBlocks = (length: number) => {
    const known = blockCounts.get(length) ?? counts.byBlock(vnisOf(overlay), length);
    blockCounts.set(length, known);
    return known;
  };
  const ofPeer = (peer: PeerStatus): PeerFastPath | undefined => {
    const { ipv4 } = peer.subnet;
    const block = ipv4 === undefined || counts.isEmpty ? undefined : Prefix.parse(ipv4);
    const obstacle = peerObstacle(peer, overlay, forwarder);
    const count = (block && ofBlocks(block.length).get(block.key)) ?? NO_FLOWS;
    const isQuiet = count.flows + count.sentPackets + count.receivedPackets === 0;
    return isQuiet && obstacle === undefined ? undefined : { ...count, ...defined({ obstacle }) };
  };
  const failure = facts.failure === undefined ? undefined : failed(facts.failure);
  const obstacle =
    facts.obstacle ?? failure ?? (used ? undefined : networks.find(({ obstacle: own }) => own)?.obstacle);
  return {
    status: {
      used,
      ...defined({ obstacle, tcpObstacle: used ? facts.tcpObstacle : undefined }),
      networks,
      normalPackets: Object.fromEntries(facts.normal),
    },
    peers: peers.map(peer => ({ ...peer, ...defined({ fastPath: ofPeer(peer) }) })),
  };
}

const vnisOf = (network: CarriedNetwork | undefined) => (network?.tunnels ?? []).map(({ vni }) => vni);

const NO_FLOWS = new FlowCounts().of([]);

/** Why this one is reached without what the fast path is past; nothing is said of one that is not reached. */
function peerObstacle(
  { links = [], subnet }: PeerStatus,
  overlay: CarriedNetwork | undefined,
  forwarder: string | undefined,
): FastPathObstacle | undefined {
  if (links.length === 0 || overlay === undefined || overlay.obstacle !== undefined) return undefined;
  if (subnet.ipv4 === undefined) return OBSTACLES.ipv6;
  if (overlay.tunnels.some(({ link }) => links.includes(link))) return undefined;
  return forwarder !== undefined && links.includes(forwarder) ? OBSTACLES.forwarder : OBSTACLES.direct;
}
