/**
 * How much of a load went past the tunnel device of a host: what the fast path carries is in no counter of that device, and
 * all else is. So the fast path is not asked about itself.
 */
import { connectRoute } from '../../netlink/route/connect.ts';
import { Netns } from '../../sys/netns.ts';
import type { Carried } from './load.ts';
import type { Traffic } from './traffic.ts';

/** Files of the network namespaces of two hosts, and the tunnel device, which has the same name on both. */
export interface TunnelEnds {
  readonly sender: string;
  readonly receiver: string;
  readonly device: string;
}

/** Shares from 0 to 1: of what was sent, on the sender's host, and of what arrived, on the receiver's. */
export interface PastDevice {
  readonly sent: number;
  readonly received: number;
}

/** Runs a load, and reads the counters before and after. */
export async function countPast(
  kind: Traffic,
  { sender, receiver, device }: TunnelEnds,
  load: () => Promise<Carried>,
): Promise<{ readonly load: Carried; readonly past: PastDevice }> {
  const read = () => Promise.all([countersOf(sender, device), countersOf(receiver, device)]);
  const [sentBefore, receivedBefore] = await read();
  const done = await load();
  const [sentAfter, receivedAfter] = await read();
  const [unit, counter] =
    kind === 'stream' ? (['bytes', 'Bytes'] as const) : (['messages', 'Packets'] as const);
  const [sent, received] = [`sent${counter}`, `received${counter}`] as const;
  return {
    load: done,
    past: {
      sent: shareOf(sentAfter[sent] - sentBefore[sent], done.sent[unit]),
      received: shareOf(receivedAfter[received] - receivedBefore[received], done.received[unit]),
    },
  };
}

/** Headers and packets without data count at the device as well: what comes out below nothing is nothing. */
const shareOf = (atDevice: number, all: number) => Math.max(0, 1 - atDevice / all);

async function countersOf(netnsFile: string, device: string) {
  using netns = Netns.open(netnsFile);
  await using route = connectRoute({ netns });
  const counters = await route.links.counters((await route.links.get(device))?.index ?? 0);
  if (counters === undefined) throw new Error(`${netnsFile} has no ${device}`);
  return counters;
}
