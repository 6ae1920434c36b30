/**
 * The way of a packet over one host, decided entry by entry as its kernel does: what one hop finds is what the next one
 * searches for. Only what is there is read; nothing is sent.
 */
import type { Carrier, Walk, WalkReport } from '../../api/walk.ts';
import { messageOf } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import type { HostReader } from '../host/host-reader.ts';
import { deliverFrame } from './bridge.ts';
import { fastHop } from './fast-hop.ts';
import { routePacket } from './forward.ts';
import { leaveContainer } from './leave.ts';
import { outOfTunnel } from './tunnel.ts';
import { fromUnderlay } from './underlay.ts';
import { PacketWay } from './way.ts';

/** @throws NetlinkError, SysError when the host cannot be read */
export async function walkHost(host: HostReader, walk: Walk): Promise<WalkReport> {
  const way = await PacketWay.begin(host, walk);
  await (walk.carrier === undefined ? send(way) : receive(way, walk.carrier));
  return way.report(walk.opens === true ? await fastPathOf(way, walk) : undefined);
}

/** Of a packet that has come to its end on this host, or has left it. What cannot be read is said, and fails nothing. */
async function fastPathOf(way: PacketWay, walk: Walk): Promise<WalkReport['fastPath']> {
  const isSender = walk.carrier === undefined;
  if (isSender ? way.carrier === undefined : way.arrives?.container === undefined) return undefined;
  const holder = await way.holder(isSender ? Ip.parse(walk.from) : way.to);
  if (holder === undefined) return undefined;
  try {
    const end = isSender
      ? { holder, remote: way.to, side: 'sends' as const }
      : { holder, remote: way.from, side: 'receives' as const };
    return await fastHop(way, walk, end);
  } catch (error) {
    way.blind.push(`the fast path: ${messageOf(error)}`);
    return undefined;
  }
}

async function receive(way: PacketWay, carrier: Carrier): Promise<void> {
  const input = await fromUnderlay(way, carrier);
  if (input === undefined) return;
  if (carrier.kind === 'plain') return routePacket(way, input);
  const tunnel = outOfTunnel(way, carrier);
  if (tunnel === undefined) return;
  if (carrier.kind === 'bridged') await deliverFrame(way, tunnel, carrier.mac);
  else await routePacket(way, tunnel);
}

async function send(way: PacketWay): Promise<void> {
  if (way.own(way.from) !== undefined) return routePacket(way, undefined);
  const holder = await way.holder(way.from);
  if (holder === undefined) {
    way.add({
      place: way.name,
      layer: 'container',
      story: `The packet is from ${way.from}.`,
      entries: [],
      fault: {
        reason: `Neither ${way.name} nor a container of it has the address ${way.from}.`,
        remedy: 'give the trace the name of the container',
      },
    });
    return;
  }
  const input = await leaveContainer(way, holder);
  if (input !== undefined) await routePacket(way, input);
}
