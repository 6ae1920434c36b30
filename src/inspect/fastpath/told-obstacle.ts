/** Why packets of a container take the normal path, as the agent says it in its status. Pure. */
import type { Status } from '../../api/status.ts';
import type { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';

export interface AskedFlow {
  /** Name of the host's end of the container's link. */
  readonly hostEnd: string;
  readonly protocol: 'icmp' | 'tcp' | 'udp';
  readonly remote: Ip;
}

/** undefined where it knows of no reason. */
export function toldObstacle(
  { fastPath, peers }: Pick<Status, 'fastPath' | 'peers'>,
  { hostEnd, protocol, remote }: AskedFlow,
): string | undefined {
  const { obstacle, tcpObstacle, networks = [] } = fastPath ?? {};
  if (obstacle !== undefined) return obstacle.text;
  const of = networks.find(({ without }) => without.some(({ link }) => link === hostEnd));
  const ofLink = of?.without.find(({ link }) => link === hostEnd);
  if (ofLink !== undefined) return ofLink.text;
  const peer = peers.find(({ subnet }) => {
    const block = subnet[remote.family];
    return block !== undefined && Prefix.tryParse(block)?.contains(remote) === true;
  });
  const ofPeer = peer?.fastPath?.obstacle?.text;
  if (ofPeer !== undefined) return ofPeer;
  const ofNetwork = networks.find(({ links }) => links.includes(hostEnd))?.obstacle?.text;
  return ofNetwork ?? (protocol === 'tcp' ? tcpObstacle : undefined);
}
