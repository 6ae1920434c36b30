/** The programs that this agent has, each loaded once for all links: its own, or the same ones of an earlier agent. */

import type { MapReference } from '../bpf/assembler.ts';
import type { ProgramInfo } from '../bpf/info.ts';
import { BpfProgram, type BpfProgramOptions } from '../bpf/program.ts';
import type { FastPathMaps } from './fast-path-maps.ts';
import type { NamedProgram } from './mechanism.ts';

/** Makes a program of its name in full. @throws RangeError for a name that it does not know */
export type BuildProgram = (
  name: string,
  maps: { readonly [Name in keyof FastPathMaps]: MapReference },
) => BpfProgramOptions;

export interface LoadedProgram extends NamedProgram {
  readonly id: number;
}

export class LoadedPrograms implements Disposable {
  readonly #build: BuildProgram;
  readonly #maps: FastPathMaps;
  /** Of an earlier agent, with the same maps. */
  readonly #earlier: readonly ProgramInfo[];
  readonly #byName = new Map<string, LoadedProgram>();
  readonly #names = new Map<number, string>();

  constructor(build: BuildProgram, maps: FastPathMaps, earlier: readonly ProgramInfo[]) {
    this.#build = build;
    this.#maps = maps;
    this.#earlier = earlier;
  }

  /** Full name of a program; undefined for one that has not been asked for yet. */
  nameOf(id: number): string | undefined {
    return this.#names.get(id);
  }

  /** @param fullName `transmit 5`. @throws RangeError, BpfError REJECTED, UNSUPPORTED; SysError */
  get(fullName: string): LoadedProgram {
    const known = this.#byName.get(fullName);
    if (known !== undefined) return known;
    const options = this.#build(fullName, this.#maps);
    const loaded = this.#load(options);
    this.#byName.set(fullName, loaded);
    this.#names.set(loaded.id, fullName);
    return loaded;
  }

  /** The kernel says what a program is by the hash over its instructions, so it is loaded to look for the same one. */
  #load(options: BpfProgramOptions): LoadedProgram {
    const { name } = options;
    const loaded = BpfProgram.load(options);
    try {
      const info = loaded.info();
      const same = this.#earlier.find(earlier => isSameProgram(earlier, info));
      const program = same && BpfProgram.open(same.id);
      if (same === undefined || program === undefined) return { name, program: loaded, id: info.id };
      loaded[Symbol.dispose]();
      return { name, program, id: same.id };
    } catch (error) {
      loaded[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const { program } of this.#byName.values()) program[Symbol.dispose]();
    this.#byName.clear();
    this.#names.clear();
  }
}

function isSameProgram(one: ProgramInfo, other: ProgramInfo): boolean {
  return one.name === other.name && one.tag === other.tag && one.mapIds.join() === other.mapIds.join();
}
