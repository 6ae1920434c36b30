/** The maps that programs of the fast path share, as they are in the kernel: read with an agent or without one. */
import { BpfMap } from '../../bpf/map.ts';
import { type MapName, mapsOf, readFlows, readReasons, sharingMaps } from '../../fastpath/fast-path-maps.ts';
import { CONFIG_KEY } from '../../fastpath/own-program.ts';
import { CONFIG_LAYOUT, type FastFlow, MAPS, type Reason } from '../../fastpath/programs/layout.ts';
import type { LinkProgram } from './link-programs.ts';

/** Of one agent; two agents in a namespace have maps of their own. */
export interface FastMaps {
  readonly ids: ReadonlyMap<MapName, number>;
  readonly generation: bigint;
  /** Most that the map of flows has room for. */
  readonly room: number;
}

/** By what the programs use. Maps of another version of Tulle are not among them. @throws SysError */
export function fastMapsOf(programs: readonly LinkProgram[]): FastMaps[] {
  return sharingMaps(programs.flatMap(({ own }) => own ?? [])).flatMap(group => {
    using stack = new DisposableStack();
    const maps = mapsOf(group, stack);
    const config = maps.get('config')?.get(CONFIG_KEY);
    if (config === undefined) return [];
    const ids = new Map(Array.from(maps, ([name, map]) => [name, map.id]));
    return [{ ids, generation: CONFIG_LAYOUT.decode(config).generation, room: MAPS.flows.entries }];
  });
}

/** In no order. @throws SysError */
export function flowsIn(maps: FastMaps): FastFlow[] {
  using flows = opened(maps, 'flows');
  return flows === undefined ? [] : [...readFlows(flows)];
}

/**
 * Packets that did not take the fast path since the maps are there, by the reason; those that never happened are left out.
 */
export function reasonsIn(maps: FastMaps): Map<Reason, bigint> {
  using reasons = opened(maps, 'reasons');
  return new Map(reasons && [...readReasons(reasons)].filter(([, count]) => count > 0n));
}

function opened({ ids }: FastMaps, name: MapName): BpfMap | undefined {
  const id = ids.get(name);
  return id === undefined ? undefined : BpfMap.open(id);
}
