/** What the forwarder has moved and dropped, as `status` shows it. */
import type { AgentClient } from '../api/client.ts';
import type { ForwarderTraffic } from '../api/messages.ts';
import type { PeerStatus, Status } from '../api/status.ts';
import { isCode } from '../base/errors.ts';
import { valuesOf } from '../base/per-family.ts';
import { formatBytes, formatCount, formatNumber } from '../console/format.ts';

type Counters = ForwarderTraffic['host'];

/** undefined where the kernel moves all packets, and while no forwarder runs: that is a warning of its own. */
export async function readTraffic(agent: AgentClient, status: Status): Promise<ForwarderTraffic | undefined> {
  if (status.backend?.devices.some(({ kind }) => kind === 'tun') !== true) return undefined;
  try {
    return await agent.forwarder();
  } catch (error) {
    if (isCode(error, 'REFUSED')) return undefined;
    throw error;
  }
}

/** Of all peers together, and of packets that belong to none. */
export function totalTraffic({ host, peers }: ForwarderTraffic): string {
  const all = [host, ...peers];
  const sum = (of: (counters: Counters) => number) =>
    all.reduce((total, counters) => total + of(counters), 0);
  const reasons = [...new Set(all.flatMap(({ drops }) => Object.keys(drops)))];
  return describe({
    sentPackets: sum(({ sentPackets }) => sentPackets),
    sentBytes: sum(({ sentBytes }) => sentBytes),
    receivedPackets: sum(({ receivedPackets }) => receivedPackets),
    receivedBytes: sum(({ receivedBytes }) => receivedBytes),
    drops: Object.fromEntries(reasons.map(reason => [reason, sum(({ drops }) => drops[reason] ?? 0)])),
  });
}

/** Of one peer; undefined when the forwarder has no route to it. */
export function peerTraffic({ subnet }: PeerStatus, { peers }: ForwarderTraffic): string | undefined {
  const own: readonly string[] = valuesOf(subnet);
  const counters = peers.filter(peer => own.includes(peer.subnet));
  return counters.length === 0 ? undefined : counters.map(describe).join('; ');
}

/** Packets that say they are from this peer, and came from an address that is not the peer's. */
export function misplacedPackets({ subnet }: PeerStatus, { peers }: ForwarderTraffic): number {
  const own: readonly string[] = valuesOf(subnet);
  return peers
    .filter(peer => own.includes(peer.subnet))
    .reduce((sum, { drops }) => sum + (drops['unknownPeer'] ?? 0) + (drops['wrongSource'] ?? 0), 0);
}

function describe({ sentPackets, sentBytes, receivedPackets, receivedBytes, drops }: Counters): string {
  const dropped = Object.entries(drops)
    .filter(([reason, count]) => count > 0 && reason !== EXPECTED)
    .map(([reason, count]) => `${formatNumber(count)} ${reason}`);
  return [
    `sent ${formatCount(sentPackets, 'packet')} (${formatBytes(sentBytes)})`,
    `received ${formatCount(receivedPackets, 'packet')} (${formatBytes(receivedBytes)})`,
    ...(dropped.length === 0 ? [] : [`dropped ${dropped.join(', ')}`]),
  ].join(', ');
}

/** IPv6 sends packets to many hosts by itself on every device; none of them is for a peer. */
const EXPECTED = 'multicast';
