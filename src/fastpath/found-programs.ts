/** All programs of ours at the links of a namespace, whoever has attached them. */
import { PROGRAM_POINTS } from '../dataplane/programs.ts';
import type { StoreLink } from '../dataplane/tables/store.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { LinkPlace, Mechanism } from './mechanism.ts';
import { type OwnProgram, ownProgram } from './own-program.ts';

export interface FoundOwnProgram {
  readonly link: StoreLink;
  readonly place: LinkPlace;
  readonly mechanism: Mechanism;
  readonly program: OwnProgram;
}

/** @param owner only of that agent; undefined: of any. @throws SysError, NetlinkError */
export async function findOwnPrograms(
  rtnetlink: Pick<Rtnetlink, 'links'>,
  mechanisms: readonly Mechanism[],
  owner: bigint | undefined,
): Promise<FoundOwnProgram[]> {
  const links = new Map((await rtnetlink.links.list()).map(({ index, name }) => [index, { index, name }]));
  // Containers of a network share their programs.
  const known = new Map<number, OwnProgram | undefined>();
  const lookUp = (id: number) => {
    if (!known.has(id)) known.set(id, ownProgram(id));
    return known.get(id);
  };
  const found: FoundOwnProgram[] = [];
  for (const mechanism of mechanisms) {
    for (const index of await mechanism.occupied([...links.keys()])) {
      const link = links.get(index);
      if (link === undefined) continue;
      for (const point of PROGRAM_POINTS) {
        const place = { index, point };
        for (const id of await mechanism.programs(place)) {
          const program = lookUp(id);
          if (program === undefined || (owner !== undefined && program.config.owner !== owner)) continue;
          found.push({ link, place, mechanism, program });
        }
      }
    }
  }
  return found;
}
