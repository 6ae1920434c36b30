/** What the cases of the contract share. */
import assert from 'node:assert/strict';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import type { NewLink } from '../../netlink/route/objects.ts';
import type { EventGroup, KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';

export type ShowCommand = 'ip route' | 'ip nexthop' | 'ip neigh' | 'ip rule' | 'bridge fdb';

/** A kernel of its own for one case: nothing in it but the loopback link, which is up. */
export interface KernelFixture {
  readonly rtnetlink: Rtnetlink;
  /**
   * The state in the words of `ip` and `bridge`: one line per object, sorted, single spaces, without what the kernel
   * makes by itself (multicast and link-local entries).
   */
  show(command: ShowCommand): string;
}

export interface NetlinkCase {
  readonly name: string;
  run(fixture: KernelFixture): Promise<void>;
}

export const ip = (text: string): Ip => Ip.parse(text);
export const mac = (text: string): Mac => Mac.parse(text);
export const prefix = (text: string): Prefix => Prefix.parse(text);

export const ONLINK = 4;
export const TULLE = 77;

/** Adds a link and returns its index. */
export async function addLink({ links }: Rtnetlink, link: NewLink): Promise<number> {
  await links.add(link);
  return indexOf(links, link.name);
}

/** A vxlan link that is up, as flannel has it. */
export function addVxlan(rtnetlink: Rtnetlink, name = 'flannel.88'): Promise<number> {
  return addLink(rtnetlink, {
    name,
    info: { kind: 'vxlan', id: 88, port: 4789, learning: false },
    mac: mac('02:00:00:00:00:88'),
    up: true,
  });
}

export async function indexOf(links: Rtnetlink['links'], name: string): Promise<number> {
  const link = await links.get(name);
  assert.ok(link, `there is no link ${name}`);
  return link.index;
}

/** Every announcement that `cause` leads to, in one word each, once the kernel has sent them all. */
export async function announced(
  rtnetlink: Rtnetlink,
  groups: readonly EventGroup[],
  cause: () => Promise<unknown>,
  describe: (event: KernelEvent) => string | undefined,
): Promise<string[]> {
  const stop = new AbortController();
  const events = rtnetlink.watch(groups, stop.signal);
  await cause();
  const words: string[] = [];
  for await (const event of events) {
    if (event.type === 'idle') break;
    const word = describe(event);
    if (word !== undefined) words.push(word);
  }
  stop.abort();
  return words;
}
