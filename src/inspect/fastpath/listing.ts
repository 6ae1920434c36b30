/** The programs at links of this host and the maps of the fast path, one a line, for a report. */
import { isFast } from '../../fastpath/programs/layout.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';
import { type FastMaps, reasonsIn } from './fast-maps.ts';
import { flowsNow, sightOf } from './read-fast-path.ts';

/** More than a host has containers in most cases. */
const MOST_PROGRAMS = 1000;

/** Empty where there are neither. @throws SysError without the right to ask; NetlinkError */
export async function fastPathListing(inside: NamespaceReader): Promise<string> {
  const sight = await sightOf(inside, await inside.links());
  const { programs, maps } = sight;
  const shown = programs
    .slice(0, MOST_PROGRAMS)
    .map(
      ({ link, point, by, id, name, tag, mapIds }) =>
        `${link} ${point} ${by} program ${id} ${name === '' ? '(no name)' : name} tag ${tag} maps ${mapIds.join(',') || 'none'}`,
    );
  const rest = programs.length - shown.length;
  return [
    ...shown,
    ...(rest > 0 ? [`and ${rest} programs more`] : []),
    ...maps.flatMap(set => mapLines(set, countsOf(flowsNow({ programs, maps: [set] }, () => true)))),
  ].join('\n');
}

interface FlowCounts {
  readonly known: number;
  readonly fast: number;
}

function countsOf(flows: ReturnType<typeof flowsNow>): FlowCounts {
  const fast = flows.filter(({ flow, generation, now }) => {
    const { sent, delivered } = isFast(flow, generation, now);
    return sent || delivered;
  });
  return { known: flows.length, fast: fast.length };
}

function mapLines(set: FastMaps, { known, fast }: FlowCounts): string[] {
  const reasons = Array.from(reasonsIn(set), ([reason, count]) => `${reason} ${count}`);
  return [
    `maps ${Array.from(set.ids, ([name, id]) => `${name} ${id}`).join(', ')}`,
    `generation ${set.generation}, ${known} flows known of ${set.room}, ${fast} of them fast`,
    ...(reasons.length === 0 ? [] : [`normal path: ${reasons.join(', ')}`]),
  ];
}
