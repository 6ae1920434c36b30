/** What programs report, in the order in which they do, to this process (Documentation/bpf/ringbuf.rst). */
import { MappedMemory, pageSize } from '../sys/mapped-memory.ts';
import { readable } from '../sys/readiness.ts';
import type { MapReference } from './assembler.ts';
import { BpfMap } from './map.ts';
import { type Ring, takeRecords } from './ring-reader.ts';

export class RingBuffer implements MapReference, Disposable {
  readonly #map: BpfMap;
  readonly #memory: readonly MappedMemory[];
  #ring: Ring | undefined;

  private constructor(map: BpfMap, consumer: MappedMemory, producer: MappedMemory) {
    this.#map = map;
    this.#memory = [consumer, producer];
    this.#ring = {
      consumer: new BigUint64Array(consumer.buffer, 0, 1),
      producer: new BigUint64Array(producer.buffer, 0, 1),
      data: new Uint8Array(producer.buffer, pageSize()),
    };
  }

  /** @param size bytes: a power of 2, at least a page. @throws SysError */
  static create(size: number, name: string): RingBuffer {
    return RingBuffer.over(
      BpfMap.create({ type: 'ring buffer', name, keySize: 0, valueSize: 0, entries: size }),
    );
  }

  /**
   * Reads on where the last reader of the map has stopped; there must be one at a time.
   *
   * @param map a ring buffer; disposed of with this, or at once when it cannot be read. @throws SysError
   */
  static over(map: BpfMap): RingBuffer {
    using stack = new DisposableStack();
    stack.use(map);
    const size = map.options.entries;
    const page = pageSize();
    // Pages for the reader's position, for the writer's, and the data twice.
    const consumer = stack.use(MappedMemory.map(map.fd, { length: page, writable: true }));
    const producer = stack.use(MappedMemory.map(map.fd, { length: page + 2 * size, offset: page }));
    const ring = new RingBuffer(map, consumer, producer);
    stack.move();
    return ring;
  }

  get fd(): number {
    return this.#map.fd;
  }

  /** Of its map. @throws SysError */
  get id(): number {
    return this.#map.id;
  }

  /** Up to `most` records that have come; nothing after disposal. */
  take(most: number): Uint8Array[] {
    return this.#ring === undefined ? [] : takeRecords(this.#ring, most);
  }

  /** Resolves when there is a record. Rejects with the signal's reason, which must abort before disposal. */
  async readable(signal: AbortSignal): Promise<void> {
    await readable(this.fd, signal);
  }

  [Symbol.dispose](): void {
    this.#ring = undefined;
    for (const memory of this.#memory) memory[Symbol.dispose]();
    this.#map[Symbol.dispose]();
  }
}
