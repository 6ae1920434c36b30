/** Programs of the fast path at links of this host, which run on without an agent; their maps go with the last of them. */
import { linkProgramObstacle } from '../bpf/obstacle.ts';
import { findOwnPrograms } from '../fastpath/found-programs.ts';
import { mechanismsOf } from '../fastpath/mechanisms.ts';
import { ownerNumber } from '../fastpath/own-program.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { Netns } from '../sys/netns.ts';
import type { Leftover } from './cleanup.ts';

export interface FastPathLeftoverOptions {
  readonly rtnetlink: Pick<Rtnetlink, 'links' | 'traffic'>;
  /** The same namespace. */
  readonly netns: Netns;
  /** Key of the network in the store; programs of an agent of another one stay. */
  readonly network: string;
}

/** One for each link. @throws SysError, NetlinkError */
export async function fastPathLeftovers({
  rtnetlink,
  netns,
  network,
}: FastPathLeftoverOptions): Promise<readonly Leftover[]> {
  // Then no agent could attach any either.
  if (linkProgramObstacle() !== undefined) return [];
  const found = await findOwnPrograms(rtnetlink, mechanismsOf(netns, rtnetlink), ownerNumber(network));
  return Array.from(
    Map.groupBy(found, ({ link }) => link.name),
    ([link, programs]) => ({
      what: `fast path at ${link}: ${programs.map(({ program }) => program.name).join(', ')}`,
      async remove() {
        for (const { mechanism, place, program } of programs) await mechanism.detach(place, program.id);
      },
    }),
  );
}
