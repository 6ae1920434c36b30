/** Which programs are where the kernel has dropped packets by traffic control: one of them has, and the kernel does not say which. */
import type { Drop } from '../../api/inspection.ts';
import { linkPrograms, linkProgramText } from '../fastpath/link-programs.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';

const POINT_OF: Readonly<Record<string, 'ingress' | 'egress'>> = {
  TC_INGRESS: 'ingress',
  TC_EGRESS: 'egress',
};
const MOST = 10;

export async function withPrograms(host: HostReader, drops: readonly Drop[]): Promise<Drop[]> {
  return await Promise.all(
    drops.map(async drop => {
      const point = POINT_OF[drop.reason];
      if (point === undefined || drop.link === undefined) return drop;
      const inside = await namespaceOf(host, drop);
      const link = (await inside?.links())?.find(({ name }) => name === drop.link);
      if (inside === undefined || link === undefined) return drop;
      const programs = (await linkPrograms(inside, [link])).filter(one => one.point === point);
      return programs.length === 0
        ? drop
        : { ...drop, programs: programs.slice(0, MOST).map(linkProgramText) };
    }),
  );
}

async function namespaceOf(host: HostReader, { container }: Drop): Promise<NamespaceReader | undefined> {
  if (container === undefined) return host;
  return (await host.containers()).find(({ name }) => name === container)?.inside;
}
