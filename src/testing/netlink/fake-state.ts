/** What the fake kernel knows, and the announcements it makes about it. */
import type { Address, FdbEntry, Link, Neighbor, Nexthop, Route, Rule } from '../../netlink/route/objects.ts';
import type { KernelEvent } from '../../netlink/route/rtnetlink.ts';
import { FakeRefusal } from './fake-refusal.ts';

/** What this kernel says: it has no queues, and the other events are about the listening itself. */
export type Announcement = Exclude<KernelEvent, { readonly type: 'overrun' | 'idle' | 'traffic' }>;

export const isAnnouncement = (event: KernelEvent): event is Announcement =>
  event.type !== 'overrun' && event.type !== 'idle' && event.type !== 'traffic';

export interface FakeState {
  readonly links: Map<number, Link>;
  /** The highest index that a link has had. */
  lastIndex: number;
  addresses: Address[];
  routes: Route[];
  nexthops: Nexthop[];
  neighbors: Neighbor[];
  fdb: FdbEntry[];
  rules: Rule[];
  readonly announce: (event: Announcement) => void;
}

/** @throws FakeRefusal ENODEV */
export function linkByIndex({ links }: FakeState, index: number): Link {
  const link = links.get(index);
  if (link === undefined) throw new FakeRefusal('ENODEV');
  return link;
}

/** The entries that stay; those that go are announced. */
export function without<T>(
  entries: readonly T[],
  goes: (entry: T) => boolean,
  notify: (entry: T) => void,
): T[] {
  return entries.filter(entry => {
    if (!goes(entry)) return true;
    notify(entry);
    return false;
  });
}
