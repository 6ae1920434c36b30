/** Which program a link is to have at each point: that of the network that began first. */
import type { DesiredHost } from '../desired.ts';
import { type DesiredProgram, PROGRAM_POINTS, type ProgramPoint } from '../programs.ts';

/** A network that may want programs. */
export interface ProgramUser {
  readonly name: string;
  readonly host: Pick<DesiredHost, 'programs'>;
}

export interface PlannedProgram {
  readonly program: string;
  /** Names of the networks that want it, in the order in which they began. */
  readonly networks: readonly string[];
}

/** What a network wants and cannot have. */
export interface RefusedProgram {
  /** The program, in words. */
  readonly text: string;
  readonly network: string;
  readonly reason: string;
}

/** Of one link. */
export type PointPlan = ReadonlyMap<ProgramPoint, PlannedProgram>;

export interface ProgramPlan {
  /** By name of the link. */
  readonly links: ReadonlyMap<string, PointPlan>;
  readonly refused: readonly RefusedProgram[];
}

/** @param users in the order in which they began. */
export function planPrograms(users: Iterable<ProgramUser>): ProgramPlan {
  const links = new Map<string, Map<ProgramPoint, PlannedProgram>>();
  const refused: RefusedProgram[] = [];
  for (const { name: network, host } of users) {
    for (const desired of host.programs ?? []) {
      const { link, point, program } = desired;
      const points = links.get(link) ?? new Map<ProgramPoint, PlannedProgram>();
      links.set(link, points);
      const planned = points.get(point);
      if (planned === undefined) points.set(point, { program, networks: [network] });
      else if (planned.program !== program) {
        const reason = `network ${planned.networks[0]} has the program ${planned.program} there`;
        refused.push({ text: programText(desired), network, reason });
      } else if (!planned.networks.includes(network)) {
        points.set(point, { program, networks: [...planned.networks, network] });
      }
    }
  }
  return { links, refused };
}

/** `program transmit dev veth1 ingress`. */
export const programText = ({ program, link, point }: DesiredProgram): string =>
  `program ${program} dev ${link} ${point}`;

/** Whether the same programs are wanted, by whomever. */
export const isSamePlan = (a: PointPlan | undefined, b: PointPlan | undefined): boolean =>
  PROGRAM_POINTS.every(point => a?.get(point)?.program === b?.get(point)?.program);
