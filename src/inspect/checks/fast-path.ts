/** The programs of the fast path at the links of this host: a flow can be proven only where none of the four is missing. */
import type { Status } from '../../api/status.ts';
import { missingPrograms } from '../fastpath/fast-way.ts';
import { type FastPathSight, flowsNow, sightOf } from '../fastpath/read-fast-path.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, HERE } from './check.ts';
import { underlayOf } from './underlay.ts';

export async function checkFastPath(host: HostReader): Promise<Cause[]> {
  const [{ members }, { link: uplink }, status, links] = await Promise.all([
    host.members(),
    underlayOf(host),
    host.status(),
    host.links(),
  ]);
  if (uplink === undefined) return [];
  const told = toldEnds(status);
  const ends = links.filter(({ name }) => told.has(name) || members.some(({ outer }) => outer.name === name));
  const sight = await sightOf(host, [uplink, ...ends]);
  const names = ends.map(({ name }) => name).filter(name => isMeant(name, told, sight));
  return [
    ...incompleteCauses(names, uplink.name, sight, status !== undefined),
    ...fullCauses(
      flowsNow(sight, () => true),
      sight,
    ),
  ];
}

/** Host ends that should have the programs, as the agent says. */
const toldEnds = (status: Status | undefined): ReadonlySet<string> =>
  new Set(status?.fastPath?.networks.flatMap(({ links }) => links) ?? []);

/** Where no agent says it, a program that is there does. */
const isMeant = (name: string, told: ReadonlySet<string>, { programs }: FastPathSight): boolean =>
  told.has(name) ||
  (told.size === 0 && programs.some(({ link, role }) => link === name && role !== undefined));

/** Those of one agent share their maps: a program of another one knows nothing of the flow. */
export function incompleteCauses(
  ends: readonly string[],
  uplink: string,
  { programs, maps }: Pick<FastPathSight, 'programs' | 'maps'>,
  hasAgent: boolean,
): Cause[] {
  const missing = ends.flatMap(hostEnd => {
    const lists = maps.map(({ ids }) => {
      const config = ids.get('config');
      const own = programs.filter(({ mapIds }) => config !== undefined && mapIds.includes(config));
      return missingPrograms({ hostEnd, uplink }, own);
    });
    const [best = missingPrograms({ hostEnd, uplink }, [])] = lists.toSorted(
      (one, other) => one.length - other.length,
    );
    return best;
  });
  const unique = [...new Set(missing)];
  if (unique.length === 0) return [];
  const shown = unique.slice(0, 10).map(text => `missing: ${text}`);
  return [
    {
      code: 'FAST_PATH_INCOMPLETE',
      severity: 'warning',
      layer: 'limits',
      reason: `programs of the fast path are missing at links, so that packets of ${ends.length === 1 ? `the container behind ${ends[0]}` : `containers of ${HERE}`} take the normal path, which is slower: ${unique.slice(0, 3).join(', ')}`,
      evidence: shown,
      remedy: hasAgent
        ? 'the agent attaches them again within a second: what takes them away again and again is another program; bpftool net show'
        : 'start the agent, which attaches them again',
    },
  ];
}

/** Share of the map: flows that rest make room for others. */
const FULL = 0.95;

export function fullCauses(
  flows: ReturnType<typeof flowsNow>,
  { maps }: Pick<FastPathSight, 'maps'>,
): Cause[] {
  const room = maps.reduce((sum, set) => sum + set.room, 0);
  const busy = flows.filter(
    ({ flow: { state }, now }) => state.sentUntil > now || state.deliveredUntil > now,
  );
  if (room === 0 || busy.length < FULL * room) return [];
  return [
    {
      code: 'FAST_PATH_FULL',
      severity: 'warning',
      layer: 'limits',
      reason: `${busy.length} flows are under way at once, and the fast path of ${HERE} has room for ${room}: flows push each other out, and take the normal path, which is slower`,
      evidence: [`${busy.length} of ${room} flows proven now`],
      remedy: 'nothing is lost by it; fewer and longer connections take the fast path',
    },
  ];
}
