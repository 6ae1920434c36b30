/**
 * BPF programs at the two points of each link of a namespace, whoever has attached them: Tulle's fast path and others. Those
 * of tcx (Linux 6.6) run before the filters of clsact, where older kernels have ours.
 */
import { defined } from '../../base/defined.ts';
import type { ProgramInfo } from '../../bpf/info.ts';
import { NAME_PREFIX } from '../../fastpath/own-program.ts';
import { ROLES, type Role } from '../../fastpath/roles.ts';
import { readSeenAtLink, type SeenAtLink } from '../../fastpath/seen-at-link.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';

export interface LinkProgram
  extends Pick<SeenAtLink, 'point' | 'by' | 'own'>,
    Pick<ProgramInfo, 'id' | 'name' | 'tag' | 'mapIds'> {
  /** Name of the link, and its index. */
  readonly link: string;
  readonly index: number;
  /** What it is in Tulle's fast path; absent for programs of others. */
  readonly role?: Role;
}

/** In the order in which they run at each point. @throws SysError without the right to ask; NetlinkError */
export async function linkPrograms(
  inside: NamespaceReader,
  links: readonly Pick<Link, 'index' | 'name'>[],
): Promise<LinkProgram[]> {
  const queues = await inside.qdiscs();
  const queued = new Set(queues.flatMap(({ kind, index }) => (kind === 'clsact' ? [index] : [])));
  const traffic = {
    // Most links have none, and a host has many links.
    filters: async (index: number, parent: number) =>
      queued.has(index) ? await inside.filters(index, parent) : [],
  };
  const found = links.map(async ({ index, name: link }) => {
    const seen = await readSeenAtLink(index, { netns: inside.netns, rtnetlink: { traffic } });
    return seen.flatMap(({ point, by, program, own }) => {
      if (program === undefined) return [];
      const { id, name, tag, mapIds } = program;
      return [{ link, index, point, by, id, name, tag, mapIds, ...defined({ own, role: roleOf(own) }) }];
    });
  });
  return (await Promise.all(found)).flat();
}

function roleOf(own: SeenAtLink['own']): Role | undefined {
  const role = own?.name.slice(NAME_PREFIX.length) ?? '';
  return Object.hasOwn(ROLES, role) ? (role as Role) : undefined;
}

/** `tulle_receive (id 12) at the ingress of eth0`. */
export const linkProgramText = ({ name, id, point, link }: LinkProgram): string =>
  `${name === '' ? 'a program without a name' : name} (id ${id}) at the ${point} of ${link}`;
