/** The fast path on the screens of `tulle status`: how much goes it, or why nothing does. */
import type { FastPathCounts } from '../api/fast-path.ts';
import type { PeerStatus, Status } from '../api/status.ts';
import { formatBytes, formatCount, formatNumber } from '../console/format.ts';

/** `2 flows fast now (1,234 packets, 1.2 GB), on 3 container links`; absent from agents that know of none. */
export function fastPathText({ fastPath }: Pick<Status, 'fastPath'>): string | undefined {
  if (fastPath === undefined) return undefined;
  const { used, networks, obstacle, tcpObstacle } = fastPath;
  if (!used) return `not used: ${obstacle?.text ?? 'nothing is decided yet'}`;
  const links = networks.flatMap(network => network.links).length;
  const without = networks.flatMap(network => network.without);
  const [first] = without;
  return [
    `${countsText(totalOf(networks))}, on ${formatCount(links, 'container link')}`,
    first && `not on ${formatCount(without.length, 'other')}: ${first.text}`,
    obstacle?.text,
    tcpObstacle && `TCP takes the normal path: ${tcpObstacle}`,
  ]
    .filter(part => part !== undefined && part !== '')
    .join('; ');
}

/** Of one peer. */
export function peerFastPathText({ fastPath: own }: PeerStatus, status: Status): string | undefined {
  const { fastPath } = status;
  if (fastPath === undefined) return undefined;
  const ofHost = fastPath.used ? undefined : fastPath.obstacle;
  const obstacle =
    own?.obstacle ?? ofHost ?? fastPath.networks.find(({ name }) => name === 'overlay')?.obstacle;
  if (obstacle !== undefined) return `not used: ${obstacle.text}`;
  return own === undefined ? 'no flow now' : countsText(own);
}

function countsText(counts: FastPathCounts): string {
  const packets = counts.sentPackets + counts.receivedPackets;
  const bytes = counts.sentBytes + counts.receivedBytes;
  const amount = packets === 0 ? '' : ` (${formatNumber(packets)} packets, ${formatBytes(bytes)})`;
  return `${formatCount(counts.flows, 'flow')} fast now${amount}`;
}

function totalOf(parts: readonly FastPathCounts[]): FastPathCounts {
  const sum = (of: (part: FastPathCounts) => number) => parts.reduce((total, part) => total + of(part), 0);
  return {
    flows: sum(({ flows }) => flows),
    sentPackets: sum(({ sentPackets }) => sentPackets),
    sentBytes: sum(({ sentBytes }) => sentBytes),
    receivedPackets: sum(({ receivedPackets }) => receivedPackets),
    receivedBytes: sum(({ receivedBytes }) => receivedBytes),
  };
}
