/** Memory that this process shares with the kernel: mmap(2) of a descriptor. */
import koffi from 'koffi';
import { SysError } from './errors.ts';

/** include/uapi/asm-generic/mman-common.h, include/uapi/linux/mman.h. */
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

const c = koffi.load(null);
const raw = {
  mmap: c.func('intptr_t mmap(void *, size_t, int, int, int, int64_t)') as (
    address: null,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ) => number | bigint,
  munmap: c.func('int munmap(uintptr_t, size_t)') as (address: number | bigint, length: number) => number,
  pageSize: c.func('int getpagesize()') as () => number,
};

/** Bytes of a page: where a mapping may begin. */
export const pageSize = (): number => raw.pageSize();

export interface MappingOptions {
  /** Bytes. */
  readonly length: number;
  /** In what `fd` stands for; a multiple of the page size. */
  readonly offset?: number;
  readonly writable?: boolean;
}

export class MappedMemory implements Disposable {
  readonly #address: number | bigint;
  readonly #length: number;
  #buffer: ArrayBuffer;

  private constructor(address: number | bigint, length: number) {
    this.#address = address;
    this.#length = length;
    this.#buffer = koffi.view(address, length);
  }

  /** The mapping stays when `fd` is closed. @throws SysError */
  static map(fd: number, { length, offset = 0, writable = false }: MappingOptions): MappedMemory {
    const protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    const address = raw.mmap(null, length, protection, MAP_SHARED, fd, offset);
    if (BigInt(address) === -1n) throw new SysError('mmap', koffi.errno());
    return new MappedMemory(address, length);
  }

  /** Views of it must not be used after disposal: the process would be killed. Empty then. */
  get buffer(): ArrayBuffer {
    return this.#buffer;
  }

  [Symbol.dispose](): void {
    if (this.#buffer.byteLength === 0) return;
    this.#buffer = new ArrayBuffer(0);
    raw.munmap(this.#address, this.#length);
  }
}
