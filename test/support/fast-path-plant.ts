/**
 * Programs with the names and maps of the fast path that let every packet pass: what inspection reads of a host, without the
 * programs themselves. They go with the links that they are at.
 */
import { Assembler } from '../../src/bpf/assembler.ts';
import { attachedPrograms, attachProgram, type LinkPoint } from '../../src/bpf/attachment.ts';
import { R0, R1, R2 } from '../../src/bpf/instructions.ts';
import { BpfMap } from '../../src/bpf/map.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { SKB } from '../../src/fastpath/programs/headers.ts';
import {
  CONFIG_LAYOUT,
  CONFIG_MAGIC,
  FLOW_KEY,
  FLOW_LAYOUT,
  LAYOUT_VERSION,
  MAPS,
} from '../../src/fastpath/programs/layout.ts';
import { ROLES, type Role } from '../../src/fastpath/roles.ts';

/** TCX_NEXT, TCX_DROP: include/uapi/linux/bpf.h. */
const NEXT = -1;
export const DROP = 2;

export const GENERATION = 7n;

export interface PlantedMaps extends Disposable {
  readonly config: BpfMap;
  readonly flows: BpfMap;
  readonly reasons: BpfMap;
}

export function plantMaps(): PlantedMaps {
  using stack = new DisposableStack();
  const config = stack.use(BpfMap.create(MAPS.config));
  const flows = stack.use(BpfMap.create(MAPS.flows));
  const reasons = stack.use(BpfMap.create(MAPS.reasons));
  const value = { magic: CONFIG_MAGIC, version: LAYOUT_VERSION, owner: 1n, generation: GENERATION };
  config.set(new Uint8Array(4), CONFIG_LAYOUT.encode(value));
  const parts = stack.move();
  return { config, flows, reasons, [Symbol.dispose]: () => parts.dispose() };
}

export interface PlantedProgram {
  readonly name: string;
  /** Of packets; TCX_NEXT unless given. */
  readonly verdict?: number;
  /** Others pass. */
  readonly onlyMarked?: true;
  readonly maps?: PlantedMaps;
}

/** Behind what is at the link; in the namespace of the calling thread. */
export function plantProgram(index: number, point: LinkPoint, planted: PlantedProgram): void {
  const { name, verdict = NEXT, onlyMarked = false, maps } = planted;
  const code = new Assembler();
  if (onlyMarked) code.loadField(R2, R1, SKB.mark).jumpIf(R2, '==', 0, 'next');
  if (maps !== undefined) for (const map of [maps.config, maps.flows, maps.reasons]) code.loadMap(R1, map);
  code.move(R0, verdict).exit();
  if (onlyMarked) code.label('next').move(R0, NEXT).exit();
  using program = BpfProgram.load({ type: 'traffic control', name, instructions: code.finish() });
  const revision = attachedPrograms(index, point)?.revision ?? 0n;
  attachProgram({ index, point, program: program.fd, revision });
}

/** @param without roles that are left out */
export function plantFastPath(
  ends: Readonly<Record<(typeof ROLES)[Role]['at'], number>>,
  maps: PlantedMaps,
  without: readonly Role[] = [],
): void {
  for (const [role, { at, point }] of Object.entries(ROLES))
    if (!without.includes(role as Role)) plantProgram(ends[at], point, { name: `tulle_${role}`, maps });
}

export interface PlantedFlow {
  readonly local: string;
  readonly remote: string;
  readonly localPort: number;
  readonly remotePort: number;
  readonly protocol?: 'tcp' | 'udp';
  readonly state: Parameters<typeof FLOW_LAYOUT.encode>[0];
}

const NUMBERS = { tcp: 6, udp: 17 } as const;

export function plantFlow({ flows }: PlantedMaps, flow: PlantedFlow): void {
  const { local, remote, localPort, remotePort, protocol = 'udp', state } = flow;
  const word = (ip: string) => ip.split('.').reduce((number, part) => number * 256 + Number(part), 0);
  const key = {
    local: word(local),
    remote: word(remote),
    localPort,
    remotePort,
    protocol: NUMBERS[protocol],
  };
  flows.set(
    FLOW_KEY.encode({ ...key, vni: Uint8Array.of(0, 0, 88) }),
    FLOW_LAYOUT.encode({ generation: GENERATION, ...state }),
  );
}
