/** Which way the kernel of a namespace runs programs at links. */
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { Netns } from '../sys/netns.ts';
import { Clsact } from './clsact.ts';
import type { Mechanism } from './mechanism.ts';
import { Tcx } from './tcx.ts';

/** All that this kernel may have, the preferred first. Both work on the netns and the rtnetlink of the caller. @throws SysError */
export function mechanismsOf(netns: Netns, rtnetlink: Pick<Rtnetlink, 'traffic'>): readonly Mechanism[] {
  return [...(Tcx.isAvailable(netns) ? [new Tcx(netns)] : []), new Clsact(rtnetlink)];
}
