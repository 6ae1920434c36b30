/**
 * Everything that sees packets of a link beside the kernel's own code, of whomever, in the order in which it does: programs
 * of tcx, then filters.
 */
import { defined } from '../base/defined.ts';
import type { LinkPoint } from '../bpf/attachment.ts';
import { type ProgramInfo, programInfoById } from '../bpf/info.ts';
import { PROGRAM_POINTS } from '../dataplane/programs.ts';
import { programOf } from '../netlink/route/program-filter.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS } from '../netlink/route/traffic-constants.ts';
import type { TrafficFilter } from '../netlink/route/traffic-control.ts';
import type { Netns } from '../sys/netns.ts';
import type { Mechanism } from './mechanism.ts';
import { type OwnProgram, ownProgram } from './own-program.ts';
import { Tcx } from './tcx.ts';

export interface SeenAtLink {
  readonly point: LinkPoint;
  readonly by: Mechanism['name'];
  /** `the program cil_from_host (id 7)`, `a filter (u32, pref 49152)`. */
  readonly text: string;
  /** If it is one, and has not gone meanwhile. */
  readonly program?: ProgramInfo;
  /** The same one; undefined when it is of others. */
  readonly own?: OwnProgram;
}

/** @param index of a link; nothing when there is none. @throws SysError, NetlinkError */
export async function readSeenAtLink(
  index: number,
  {
    netns,
    rtnetlink: { traffic },
  }: {
    readonly netns: Netns;
    readonly rtnetlink: { readonly traffic: Pick<Rtnetlink['traffic'], 'filters'> };
  },
): Promise<readonly SeenAtLink[]> {
  const tcx = Tcx.isAvailable(netns) ? new Tcx(netns) : undefined;
  const seen: SeenAtLink[] = [];
  for (const point of PROGRAM_POINTS) {
    for (const id of (await tcx?.programs({ index, point })) ?? []) {
      const found = programOfId(id);
      seen.push({ point, by: 'tcx', text: programText(found.program?.name ?? '', id), ...found });
    }
    const parent = point === 'ingress' ? TC_H_CLSACT_INGRESS : TC_H_CLSACT_EGRESS;
    const filters = await traffic.filters(index, parent);
    const texts = new Map(filters.map(filter => [filterText(filter), filter]));
    for (const [text, filter] of texts) {
      const id = programOf(filter)?.id;
      seen.push({ point, by: 'clsact', text, ...(id !== undefined && programOfId(id)) });
    }
  }
  return seen;
}

function programOfId(id: number): Pick<SeenAtLink, 'program' | 'own'> {
  const own = ownProgram(id);
  return defined({ program: own ?? programInfoById(id), own });
}

/** The tables of a u32 filter are filters in the kernel's list; they have one text. */
function filterText(filter: TrafficFilter): string {
  const program = programOf(filter);
  const run = program === undefined ? '' : `, ${programText(program.name, program.id)}`;
  return `a filter (${filter.kind}, pref ${filter.priority}${run})`;
}

const programText = (name: string, id: number) => `the program ${name} (id ${id})`;
