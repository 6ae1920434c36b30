/** Maps: memory of the kernel that programs and this process share, by keys. Gone with the last descriptor. */
import { readFileSync } from 'node:fs';
import { ParseError } from '../base/errors.ts';
import { close } from '../sys/libc.ts';
import type { MapReference } from './assembler.ts';
import { BpfAttributes, COMMAND } from './command.ts';
import { mapInfo, openById, unlessNone } from './info.ts';
import { type MapEntry, readEntries } from './map-entries.ts';

/** enum bpf_map_type. */
const TYPES = { hash: 1, array: 2, 'per-cpu array': 6, 'lru hash': 9, 'ring buffer': 27 } as const;

export interface MapOptions {
  /** An LRU hash forgets what has not been used the longest when it is full. */
  readonly type: keyof typeof TYPES;
  /** For people who look with bpftool. */
  readonly name: string;
  /** Bytes; 0 of a ring buffer, which has no keys. */
  readonly keySize: number;
  readonly valueSize: number;
  /** Of a ring buffer its bytes: a power of 2, and a multiple of the page size. */
  readonly entries: number;
}

export class BpfMap implements MapReference, Disposable {
  #fd: number;
  readonly options: MapOptions;

  private constructor(fd: number, options: MapOptions) {
    this.#fd = fd;
    this.options = options;
  }

  /** @throws SysError */
  static create(options: MapOptions): BpfMap {
    const attributes = new BpfAttributes(44)
      .u32(0, TYPES[options.type])
      .u32(4, options.keySize)
      .u32(8, options.valueSize)
      .u32(12, options.entries)
      .name(28, options.name);
    return new BpfMap(attributes.run(COMMAND.createMap), options);
  }

  /**
   * One that is there already, whoever made it.
   *
   * @returns undefined when there is none, or one of a type that has no name here. @throws SysError
   */
  static open(id: number): BpfMap | undefined {
    const fd = openById(COMMAND.openMap, id);
    if (fd === undefined) return undefined;
    try {
      const { name, keySize, valueSize, entries, ...info } = mapInfo(fd);
      const type = TYPE_NAMES.get(info.type);
      if (type !== undefined) return new BpfMap(fd, { type, name, keySize, valueSize, entries });
    } catch (error) {
      close(fd);
      throw error;
    }
    close(fd);
    return undefined;
  }

  get fd(): number {
    return this.#fd;
  }

  /** Among all maps of this kernel; after its end another may get it. @throws SysError */
  get id(): number {
    return mapInfo(this.#fd).id;
  }

  /** The value of a key; undefined when there is none. Not for what has a value per processor. @throws SysError */
  get(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.options.valueSize);
    const found = unlessNone(() =>
      this.#element(wantSize(key, this.options.keySize, 'key'), value).run(COMMAND.lookUp),
    );
    return found === undefined ? undefined : value;
  }

  /** Sets the value of a key. Not for what has a value per processor. @throws SysError */
  set(key: Uint8Array, value: Uint8Array): void {
    const { keySize, valueSize } = this.options;
    this.#element(wantSize(key, keySize, 'key'), wantSize(value, valueSize, 'value')).run(COMMAND.update);
  }

  /** False when there was no such key. @throws SysError */
  delete(key: Uint8Array): boolean {
    wantSize(key, this.options.keySize, 'key');
    return (
      unlessNone(() => new BpfAttributes(32).u32(0, this.#fd).pointer(8, key).run(COMMAND.deleteElement)) !==
      undefined
    );
  }

  /**
   * Up to `most` keys with their values, in no order. What programs add and remove meanwhile is among them or not. Not
   * for what has a value per processor; Linux 5.6. @throws SysError
   */
  entries(most: number): Generator<MapEntry, void> {
    return readEntries(this.#fd, this.options, most);
  }

  /** The value that each processor has for a key, one after the other. @throws SysError */
  valuesPerCpu(key: Uint8Array): Uint8Array[] {
    const size = Math.ceil(this.options.valueSize / 8) * 8;
    const values = new Uint8Array(size * possibleCpus());
    this.#element(wantSize(key, this.options.keySize, 'key'), values).run(COMMAND.lookUp);
    return Array.from({ length: values.byteLength / size }, (_, cpu) =>
      values.slice(cpu * size, cpu * size + this.options.valueSize),
    );
  }

  #element(key: Uint8Array, value: Uint8Array): BpfAttributes {
    return new BpfAttributes(32).u32(0, this.#fd).pointer(8, key).pointer(16, value);
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}

const TYPE_NAMES: ReadonlyMap<number, keyof typeof TYPES> = new Map(
  Object.entries(TYPES).map(([name, type]) => [type, name as keyof typeof TYPES]),
);

/** The kernel reads and writes as many bytes as the map was made for, whatever there is. */
function wantSize(bytes: Uint8Array, size: number, what: string): Uint8Array {
  if (bytes.byteLength !== size) throw new RangeError(`${what}: want ${size} bytes, got ${bytes.byteLength}`);
  return bytes;
}

let cpus: number | undefined;

/** Processors that this machine may ever have: a value per processor has a place for each. */
function possibleCpus(): number {
  cpus ??= countCpus(readFileSync('/sys/devices/system/cpu/possible', 'utf8'));
  return cpus;
}

/** How many numbers are in a list as the kernel prints it: `0-3,8`. @throws ParseError */
export function countCpus(list: string): number {
  const ranges = list.trim().split(',');
  return ranges.reduce((count, range) => {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? [];
    const length = Number(last) - Number(first) + 1;
    if (!(length > 0))
      throw new ParseError('a list of processors', list, `${JSON.stringify(range)} is no range`);
    return count + length;
  }, 0);
}
