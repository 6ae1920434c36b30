/** gRPC's frame around a message: one byte "compressed", four bytes length (big-endian), the message. */
import { RpcError } from '../errors.ts';

const PREFIX_BYTES = 5;
/** Capacity that a buffer for the first piece of a message has at least. */
const MIN_CAPACITY = 256;
const NOTHING = Buffer.alloc(0);

export function frameMessage(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  frame[0] = 0;
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, PREFIX_BYTES);
  return frame;
}

/** Puts messages together from pieces of a body. */
export class MessageReader {
  readonly #max: number;
  /** The beginning of a message, in the first `held` bytes; pieces are copied, because each is a view of a buffer. */
  #buffer: Buffer = NOTHING;
  #held = 0;

  /** @param max bytes of the largest message. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Bytes of an unfinished message that are kept. */
  get held(): number {
    return this.#held;
  }

  /**
   * Calls `onMessage` for each message that is complete. A message may be a view of `chunk`.
   * @throws RpcError for a message that is too large or compressed
   */
  push(chunk: Buffer, onMessage: (message: Uint8Array) => void): void {
    let bytes = this.#held === 0 ? chunk : this.#append(chunk);
    for (let length = this.#lengthIn(bytes); length !== undefined; length = this.#lengthIn(bytes)) {
      const end = PREFIX_BYTES + length;
      if (bytes.byteLength < end) break;
      onMessage(new Uint8Array(bytes.buffer, bytes.byteOffset + PREFIX_BYTES, length));
      bytes = bytes.subarray(end);
    }
    this.#keep(bytes);
  }

  /** Of the message that begins here; undefined while not even that is known. */
  #lengthIn(bytes: Buffer): number | undefined {
    if (bytes.byteLength < PREFIX_BYTES) return undefined;
    const length = bytes.readUInt32BE(1);
    if (length > this.#max) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `grpc: received message larger than max (${length} vs. ${this.#max})`,
      );
    }
    if (bytes[0] !== 0) {
      throw new RpcError('UNIMPLEMENTED', 'grpc: Decompressor is not installed for grpc-encoding');
    }
    return length;
  }

  /** What is held, and `chunk` behind it. */
  #append(chunk: Buffer): Buffer {
    const bytes = this.#held + chunk.byteLength;
    if (bytes > this.#buffer.byteLength) {
      // Doubled, so that a message in many small pieces is copied a few times only.
      const larger = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#buffer.byteLength, MIN_CAPACITY));
      this.#buffer.copy(larger, 0, 0, this.#held);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#held);
    this.#held = bytes;
    return this.#buffer.subarray(0, bytes);
  }

  /** Keeps the beginning of the next message, in another buffer than the messages before it are views of. */
  #keep(rest: Buffer): void {
    if (this.#held > 0 && rest.byteLength === this.#held) return;
    this.#held = 0;
    this.#buffer = NOTHING;
    if (rest.byteLength > 0) this.#append(rest);
  }
}
