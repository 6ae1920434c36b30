/** The maps of the fast path: made, or those that programs of ours use already; and what programs write in them. */
import { Reader } from '../base/bytes.ts';
import { BpfMap, type MapOptions } from '../bpf/map.ts';
import { RingBuffer } from '../bpf/ring-buffer.ts';
import { CONFIG_KEY, type OwnProgram } from './own-program.ts';
import {
  CONFIG_LAYOUT,
  CONFIG_MAGIC,
  decodeFlow,
  type FastFlow,
  LAYOUT_VERSION,
  MAPS,
  REASONS,
  type Reason,
} from './programs/layout.ts';

export type MapName = keyof typeof MAPS;
export type FastPathMaps = { readonly [Name in MapName]: Name extends 'unproven' ? RingBuffer : BpfMap };

const NAMES = Object.keys(MAPS) as MapName[];
/** Entries of no generation are those that were never proven. */
const FIRST_GENERATION = 1n;

/**
 * The maps of programs that are of this agent and of this layout, as far as they are there; the others are made.
 *
 * @param found programs of this agent. @throws SysError
 */
export function openMaps(owner: bigint, found: readonly OwnProgram[]): FastPathMaps {
  using stack = new DisposableStack();
  const existing = mapsOf(adoptable(found), stack);
  const open = (name: MapName) => existing.get(name) ?? stack.use(BpfMap.create(MAPS[name]));
  const config = existing.get('config') ?? newConfig(owner, stack);
  const maps = {
    flows: open('flows'),
    cleared: open('cleared'),
    tunnels: open('tunnels'),
    reasons: open('reasons'),
    config,
    unproven: stack.use(RingBuffer.over(open('unproven'))),
  };
  stack.move();
  return maps;
}

/** Those with whose maps an agent can go on: of one configuration, if there are several that which most have. */
export function adoptable(found: readonly OwnProgram[]): readonly OwnProgram[] {
  return sharingMaps(found).toSorted((one, other) => other.length - one.length)[0] ?? [];
}

/** Those of this layout, by their configuration. */
export function sharingMaps(found: readonly OwnProgram[]): readonly OwnProgram[][] {
  const fitting = found.filter(({ config }) => config.version === LAYOUT_VERSION);
  return [...Map.groupBy(fitting, ({ config }) => config.id).values()];
}

export function closeMaps(maps: FastPathMaps): void {
  for (const name of NAMES) maps[name][Symbol.dispose]();
}

function newConfig(owner: bigint, stack: DisposableStack): BpfMap {
  const map = stack.use(BpfMap.create(MAPS.config));
  map.set(
    CONFIG_KEY,
    CONFIG_LAYOUT.encode({
      magic: CONFIG_MAGIC,
      version: LAYOUT_VERSION,
      owner,
      generation: FIRST_GENERATION,
    }),
  );
  return map;
}

/** By name; one that is not as it should be is none. @param stack owns them. @throws SysError */
export function mapsOf(programs: readonly OwnProgram[], stack: DisposableStack): Map<MapName, BpfMap> {
  const maps = new Map<MapName, BpfMap>();
  for (const id of new Set(programs.flatMap(({ mapIds }) => mapIds))) {
    const map = BpfMap.open(id);
    const name = map && NAMES.find(one => isSame(MAPS[one], map.options));
    if (map === undefined || name === undefined || maps.has(name)) map?.[Symbol.dispose]();
    else maps.set(name, stack.use(map));
  }
  return maps;
}

function isSame(wanted: MapOptions, { type, name, keySize, valueSize, entries }: MapOptions): boolean {
  return (
    wanted.type === type &&
    wanted.name === name &&
    wanted.keySize === keySize &&
    wanted.valueSize === valueSize &&
    wanted.entries === entries
  );
}

/** Up to `most`, in no order. @throws SysError */
export function* readFlows(
  flows: Pick<BpfMap, 'entries'>,
  most: number = MAPS.flows.entries,
): Generator<FastFlow, void> {
  for (const [key, value] of flows.entries(most)) yield decodeFlow(key, value);
}

/** How many packets did not take the fast path, by reason, since the map was made. @throws SysError */
export function readReasons(reasons: Pick<BpfMap, 'valuesPerCpu'>): ReadonlyMap<Reason, bigint> {
  const countAt = (reason: number) =>
    reasons
      .valuesPerCpu(new Uint8Array(new Uint32Array([reason]).buffer))
      .reduce((sum, value) => sum + new Reader(value, 'reasons').u64(), 0n);
  return new Map(REASONS.map((reason, at) => [reason, countAt(at)]));
}
