/** Programs and maps of the fast path at the links of a host of a lab, and what others have there. */

import { readSeenAtLink, type SeenAtLink } from '../../src/fastpath/seen-at-link.ts';
import type { LabHost } from '../../src/lab/host/host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { bpftool } from './bpftool.ts';

/** By their ids, each once. */
export interface KernelObjects {
  readonly programs: readonly number[];
  readonly maps: readonly number[];
}

interface Shown {
  readonly id: number;
  readonly map_ids?: readonly number[];
}

export async function objectsOf(host: LabHost): Promise<KernelObjects> {
  const seen = await seenOn(host);
  const programs = unique(seen.flatMap(({ own }) => (own === undefined ? [] : [own.id])));
  const shown = (await bpftool(['prog', 'show'])) as readonly Shown[];
  const own = shown.filter(({ id }) => programs.includes(id));
  return { programs, maps: unique(own.flatMap(({ map_ids = [] }) => map_ids)) };
}

/** What others have at the links of the host, each in words. */
export async function othersOf(host: LabHost): Promise<readonly string[]> {
  const seen = await seenOn(host);
  return seen.flatMap(({ own, point, text }) => (own === undefined ? [`${point} ${text}`] : []));
}

/** Whether the kernel has none of these any more, at a link or elsewhere: bpftool's opinion. */
export async function areGone({ programs, maps }: KernelObjects): Promise<boolean> {
  const left = async (kind: 'prog' | 'map', ids: readonly number[]) => {
    const shown = (await bpftool([kind, 'show'])) as readonly Shown[];
    return shown.some(({ id }) => ids.includes(id));
  };
  return !(await left('prog', programs)) && !(await left('map', maps));
}

async function seenOn(host: LabHost): Promise<readonly SeenAtLink[]> {
  using netns = Netns.open(host.netnsFile);
  await using rtnetlink = connectRoute({ netns });
  const links = await rtnetlink.links.list();
  const seen = await Promise.all(links.map(({ index }) => readSeenAtLink(index, { netns, rtnetlink })));
  return seen.flat();
}

const unique = (ids: readonly number[]) => [...new Set(ids)].sort((a, b) => a - b);
