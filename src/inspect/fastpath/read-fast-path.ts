/** The fast path of a host as it is at this moment: its programs at links, and the flows that they know. */
import type { FastFlow } from '../../fastpath/programs/layout.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';
import { type FastMaps, fastMapsOf, flowsIn } from './fast-maps.ts';
import type { FlowNow } from './fast-way.ts';
import { type LinkProgram, linkPrograms } from './link-programs.ts';

export interface FastPathSight {
  /** In the order in which they run at each point; those of others too. */
  readonly programs: readonly LinkProgram[];
  /** Of each agent whose programs are there. */
  readonly maps: readonly FastMaps[];
}

/** @throws SysError without the right to ask */
export async function sightOf(
  inside: NamespaceReader,
  links: readonly Pick<Link, 'index' | 'name'>[],
): Promise<FastPathSight> {
  const programs = await linkPrograms(inside, links);
  return { programs, maps: fastMapsOf(programs) };
}

/** @throws SysError */
export function flowsNow({ maps }: FastPathSight, isWanted: (flow: FastFlow) => boolean): FlowNow[] {
  return maps.flatMap(set => {
    const flows = flowsIn(set).filter(isWanted);
    // Read after the flows: what was proven meanwhile is proven until later than this.
    const now = process.hrtime.bigint();
    return flows.map(flow => ({ flow, generation: set.generation, now }));
  });
}
