/** What the fast path of a host is to a packet that was followed over it by the entries, which are those of the normal path. */
import type { FastWay, Walk } from '../../api/walk.ts';
import type { Ip } from '../../base/ip.ts';
import type { FastFlow } from '../../fastpath/programs/layout.ts';
import { fastWay } from '../fastpath/fast-way.ts';
import { flowsNow, sightOf } from '../fastpath/read-fast-path.ts';
import { toldObstacle } from '../fastpath/told-obstacle.ts';
import type { Holder, PacketWay } from './way.ts';

/** Where the container is: at the beginning of the way over this host, or at its end. */
export interface FastEnd {
  readonly holder: Holder;
  readonly remote: Ip;
  readonly side: 'sends' | 'receives';
}

const HOW = {
  plain: 'as they are',
  udp: 'through a program in user space',
  ipip: 'in IP',
} as const;

/** undefined for a packet that does not pass between a container of this host and another host. @throws SysError */
export async function fastHop(
  way: PacketWay,
  walk: Walk,
  { holder, remote, side }: FastEnd,
): Promise<FastWay | undefined> {
  const carrier = walk.carrier ?? way.carrier;
  const { uplink } = way;
  if (carrier === undefined || uplink === undefined) return undefined;
  const normal = (text: string): FastWay => ({ state: 'normal', text, flows: [] });
  if (carrier.kind !== 'vxlan' && carrier.kind !== 'bridged')
    return normal(`Packets go ${HOW[carrier.kind]}, not in VXLAN: there is nothing that could be left out.`);
  if (way.isTranslated) return normal('Rules translate its addresses here, and such a flow is never proven.');
  const { outer } = holder;
  const sight = await sightOf(way.host, [outer, uplink]);
  const { protocol } = walk;
  const status = await way.host.status();
  const between = way.hops
    .filter(({ layer, place }) => layer !== 'underlay' && way.links.some(({ name }) => name === place))
    .map(({ place }) => place);
  return fastWay(
    {
      host: way.name,
      hostEnd: outer.name,
      uplink: uplink.name,
      protocol,
      isIpv6: remote.family === 'ipv6',
      between: [...new Set(between)].filter(name => name !== outer.name),
    },
    {
      programs: sight.programs,
      obstacle: status && toldObstacle(status, { hostEnd: outer.name, protocol, remote }),
      hasAgent: status !== undefined,
      flows: flowsNow(sight, isBetween(walk, { holder, remote, side })),
    },
  );
}

/** The port that is known is that of the receiver. */
function isBetween({ protocol, toPort, fromPort }: Walk, { holder, remote, side }: FastEnd) {
  const [localPort, remotePort] = side === 'sends' ? [fromPort, toPort] : [toPort, fromPort];
  const isPort = (wanted: number | undefined, port: number) => wanted === undefined || wanted === port;
  return (flow: FastFlow): boolean =>
    flow.protocol === protocol &&
    flow.local.equals(holder.address.ip) &&
    flow.remote.equals(remote) &&
    isPort(localPort, flow.localPort) &&
    isPort(remotePort, flow.remotePort);
}
