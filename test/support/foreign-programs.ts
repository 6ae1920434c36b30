/** What another program does to the programs at links of a host, and to their maps: with bpf(2) itself, as bpftool would. */
import { execFileSync } from 'node:child_process';
import { Assembler } from '../../src/bpf/assembler.ts';
import { attachedPrograms, attachProgram, type LinkPoint } from '../../src/bpf/attachment.ts';
import { BpfAttributes, COMMAND } from '../../src/bpf/command.ts';
import { programInfoById } from '../../src/bpf/info.ts';
import { R0 } from '../../src/bpf/instructions.ts';
import { BpfMap } from '../../src/bpf/map.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { decodeFlow, type FastFlow, MAPS } from '../../src/fastpath/programs/layout.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { TC_H_CLSACT_INGRESS } from '../../src/netlink/route/traffic-constants.ts';
import { Netns } from '../../src/sys/netns.ts';

/** enum bpf_attach_type. */
const TYPES = { ingress: 46, egress: 47 } as const;
const BPF_F_BEFORE = 8;
/** enum tcx_action_base: the next program decides; the packet is dropped. */
const VERDICTS = { next: -1, drop: 2 } as const;

const MOST_FLOWS = 1 << 16;

export interface Place {
  /** File of the namespace. */
  readonly netns: string;
  readonly link: string;
  readonly point: LinkPoint;
}

/** Names of what runs there, in order. */
export function programsAt(place: Place): string[] {
  return inside(place, index =>
    (attachedPrograms(index, place.point)?.ids ?? []).map(id => programInfoById(id)?.name ?? '?'),
  );
}

/** Detaches everything that is there. */
export function detachAll(place: Place): void {
  inside(place, index => {
    for (const id of attachedPrograms(index, place.point)?.ids ?? []) {
      using program = BpfProgram.open(id);
      if (program !== undefined) detach(index, place.point, program.fd);
    }
  });
}

/** A program of somebody else, before all that are there, until it is disposed of. */
export function foreignProgram(place: Place, verdict: keyof typeof VERDICTS): Disposable {
  const program = BpfProgram.load({
    type: 'traffic control',
    name: 'foreign',
    instructions: new Assembler().move(R0, VERDICTS[verdict]).exit().finish(),
  });
  inside(place, index => {
    new BpfAttributes(32)
      .u32(0, index)
      .u32(4, program.fd)
      .u32(8, TYPES[place.point])
      .u32(12, BPF_F_BEFORE)
      .run(COMMAND.attach);
  });
  return {
    [Symbol.dispose]: () => {
      inside(place, index => detach(index, place.point, program.fd));
      program[Symbol.dispose]();
    },
  };
}

/** Removes every flow from the map that the programs there share. */
export function forgetFlows(place: Place): void {
  using map = flowMap(place);
  for (const [key] of map?.entries(MOST_FLOWS) ?? []) map?.delete(key);
}

/** What the programs there know. */
export function flowsAt(place: Place): FastFlow[] {
  using map = flowMap(place);
  return Array.from(map?.entries(MOST_FLOWS) ?? [], ([key, value]) => decodeFlow(key, value));
}

function flowMap(place: Place): BpfMap | undefined {
  const ids = inside(place, index => attachedPrograms(index, place.point)?.ids ?? []);
  for (const id of ids.flatMap(program => programInfoById(program)?.mapIds ?? [])) {
    const map = BpfMap.open(id);
    if (map?.options.name === MAPS.flows.name) return map;
    map?.[Symbol.dispose]();
  }
  return undefined;
}

function detach(index: number, point: LinkPoint, fd: number): void {
  new BpfAttributes(32).u32(0, index).u32(4, fd).u32(8, TYPES[point]).run(COMMAND.detach);
}

function inside<T>({ netns, link }: Place, work: (index: number) => T): T {
  using inner = Netns.open(netns);
  const [result] = inner.run(() => {
    const shown = execFileSync('ip', ['-o', 'link', 'show', link], { encoding: 'utf8' });
    return [work(Number(shown.split(':')[0]))] as const;
  });
  return result;
}

/** At the ingress of a link with clsact: a program of somebody else behind all that are there, and one in a filter. They stay. */
export async function plantForeign(netns: Netns, index: number, name: string): Promise<void> {
  await using rtnetlink = connectRoute({ netns });
  using program = BpfProgram.load({
    type: 'traffic control',
    name,
    instructions: new Assembler().move(R0, VERDICTS.next).exit().finish(),
  });
  netns.run(() => {
    const { revision = 0n } = attachedPrograms(index, 'ingress') ?? {};
    attachProgram({ index, point: 'ingress', program: program.fd, revision });
  });
  await rtnetlink.traffic.setProgram({
    index,
    parent: TC_H_CLSACT_INGRESS,
    priority: 7,
    handle: 1,
    program: program.fd,
    name: 'theirs',
  });
}
