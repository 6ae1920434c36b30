/**
 * The packets that the kernel drops, with its own reason. One monitor sees the network namespaces that it was opened for,
 * containers' too; any number may be open at once, and nothing is left of one whose process has ended. It costs nothing
 * as long as no packet is dropped.
 */
import { HOST_IS_LITTLE, written } from '../../base/bytes.ts';
import { BpfError } from '../../bpf/errors.ts';
import { KernelSymbols } from '../../bpf/kernel-symbols.ts';
import { readKernelTypes } from '../../bpf/kernel-types.ts';
import { BpfMap } from '../../bpf/map.ts';
import { bpfObstacle, unsupported } from '../../bpf/obstacle.ts';
import { BpfProgram } from '../../bpf/program.ts';
import { RingBuffer } from '../../bpf/ring-buffer.ts';
import { dropProgram, type PacketLayout, readDropTypes } from './drop-program.ts';
import type { DropReasons } from './drop-reasons.ts';
import { decodeDrop, type KernelDrop } from './kernel-drop.ts';

/** Bytes for events that are not read yet: some 1,300 packets. */
const RING_SIZE = 1 << 18;
/** Events that are taken at a time. */
const BATCH = 64;

export interface DropMonitorOptions {
  /** Inodes of the network namespaces that are wanted, as `Netns.inode` has them; all when absent. */
  readonly netns?: readonly number[];
}

interface Parts {
  readonly events: RingBuffer;
  readonly counts: BpfMap;
  readonly reasons: DropReasons;
  readonly attached: DisposableStack;
}

/** The same for all monitors of a process. */
let known: { layout: PacketLayout; reasons: DropReasons } | undefined;

export class DropMonitor implements Disposable {
  readonly #parts: Parts;
  readonly #closed = new AbortController();
  readonly #symbols = new KernelSymbols();

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Drops are seen from when it returns. @throws BpfError: UNSUPPORTED says in one sentence why there is none here */
  static open({ netns }: DropMonitorOptions = {}): DropMonitor {
    const obstacle = bpfObstacle();
    if (obstacle !== undefined) throw new BpfError('UNSUPPORTED', `drops cannot be seen: ${obstacle}`);
    const { layout, reasons } = (known ??= readDropTypes(readKernelTypes()));
    using stack = new DisposableStack();
    try {
      const events = stack.use(RingBuffer.create(RING_SIZE, 'tulle_drops'));
      const counts = stack.use(
        BpfMap.create({
          type: 'per-cpu array',
          name: 'tulle_drop_count',
          keySize: 4,
          valueSize: 8,
          entries: reasons.size + 1,
        }),
      );
      const namespaces = netns && stack.use(setOf(netns));
      const instructions = dropProgram(layout, reasons, {
        events,
        counts,
        ...(namespaces === undefined ? {} : { namespaces }),
      });
      const program = stack.use(
        BpfProgram.load({ type: 'raw tracepoint', name: 'tulle_drop', instructions }),
      );
      stack.use(program.attachToTracepoint('kfree_skb'));
      return new DropMonitor({ events, counts, reasons, attached: stack.move() });
    } catch (error) {
      throw unsupported(error);
    }
  }

  /** Drops in their order, from the opening on. Ends with disposal; rejects with the signal's reason. One reader only. */
  async *events(signal?: AbortSignal): AsyncGenerator<KernelDrop, void, undefined> {
    const { events, reasons } = this.#parts;
    const closed = this.#closed.signal;
    const stop = signal === undefined ? closed : AbortSignal.any([signal, closed]);
    while (!closed.aborted) {
      signal?.throwIfAborted();
      const records = events.take(BATCH);
      const bootTime = Date.now() - Number(process.hrtime.bigint() / 1000n) / 1000;
      for (const record of records) yield decodeDrop(record, reasons, bootTime);
      if (records.length === 0) await waitFor(events, stop, closed);
    }
  }

  /** How many packets were dropped for each reason since the opening: complete, also where events had no room. */
  counts(): Map<string, number> {
    const { reasons } = this.#parts;
    const counted = Array.from(
      { length: reasons.size },
      (_, reason) => [reason, this.#count(reason)] as const,
    );
    return new Map(
      counted
        .filter(([, count]) => count > 0)
        .map(([reason, count]) => [reason === 0 ? 'SUBSYSTEM' : reasons.nameOf(reason), count]),
    );
  }

  /** Drops that are counted, but had no room among the events. */
  get missed(): number {
    return this.#count(this.#parts.reasons.size);
  }

  /** Names of the functions of the kernel that dropped packets. Reads a long list: ask for all at once, and only to show them. */
  async functionsAt(locations: readonly bigint[]): Promise<ReadonlyMap<bigint, string | undefined>> {
    return await this.#symbols.functionsAt(locations);
  }

  #count(index: number): number {
    const values = this.#parts.counts.valuesPerCpu(u32Bytes(index));
    return values.reduce(
      (sum, value) => sum + Number(new DataView(value.buffer).getBigUint64(0, HOST_IS_LITTLE)),
      0,
    );
  }

  [Symbol.dispose](): void {
    // First: who waits for the descriptor must stop before it is closed.
    this.#closed.abort(new Error('the monitor is closed'));
    this.#parts.attached.dispose();
  }
}

const u32Bytes = (value: number) => written(writer => writer.u32(value));

/** A hash with these keys. */
function setOf(inodes: readonly number[]): BpfMap {
  const set = BpfMap.create({
    type: 'hash',
    name: 'tulle_drop_netns',
    keySize: 4,
    valueSize: 1,
    entries: Math.max(1, inodes.length),
  });
  for (const inode of inodes) set.set(u32Bytes(inode), Uint8Array.of(1));
  return set;
}

async function waitFor(events: RingBuffer, stop: AbortSignal, closed: AbortSignal): Promise<void> {
  try {
    await events.readable(stop);
  } catch (error) {
    if (!closed.aborted) throw error;
  }
}
