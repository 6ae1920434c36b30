/**
 * Which programs in the kernel are ours: the name begins with `tulle_`, and among their maps is one of the name of our
 * configuration that begins with our magic number, and says which agent it is of and how its maps are laid out.
 */
import { createHash } from 'node:crypto';
import { Reader } from '../base/bytes.ts';
import { type ProgramInfo, programInfoById } from '../bpf/info.ts';
import { BpfMap } from '../bpf/map.ts';
import { CONFIG_MAGIC, MAPS } from './programs/layout.ts';

export interface OwnProgram extends ProgramInfo {
  readonly config: OwnConfig;
}

/** The beginning of our configuration, which is the same in every version. */
export interface OwnConfig {
  /** Of the map. */
  readonly id: number;
  readonly version: number;
  readonly owner: bigint;
}

export const NAME_PREFIX = 'tulle_';
/** The key of the only value. */
export const CONFIG_KEY = new Uint8Array(4);
const CONFIG_SIZE = 16;

/** What tells the programs of one agent from those of another in the same namespace. @param network its key in the store */
export function ownerNumber(network: string): bigint {
  return createHash('sha256').update(network).digest().readBigUInt64LE();
}

/** undefined when the program is of others, or gone. @throws SysError */
export function ownProgram(id: number): OwnProgram | undefined {
  const info = programInfoById(id);
  if (info === undefined || !info.name.startsWith(NAME_PREFIX)) return undefined;
  for (const mapId of info.mapIds) {
    using map = BpfMap.open(mapId);
    const config = map && configOf(map, mapId);
    if (config !== undefined) return { ...info, config };
  }
  return undefined;
}

function configOf(map: BpfMap, id: number): OwnConfig | undefined {
  const { type, name, keySize, valueSize } = map.options;
  if (name !== MAPS.config.name || type !== 'array' || keySize !== CONFIG_KEY.byteLength) return undefined;
  if (valueSize < CONFIG_SIZE) return undefined;
  const reader = new Reader(map.get(CONFIG_KEY) ?? new Uint8Array(CONFIG_SIZE), name);
  if (reader.u32() !== CONFIG_MAGIC) return undefined;
  return { id, version: reader.u32(), owner: reader.u64() };
}
