/** gRPC's frame around a message: one byte "compressed", four bytes length (big-endian), the message. */
import { RpcError } from './errors.ts';

const PREFIX_BYTES = 5;

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
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Calls `onMessage` for each message that is complete. A message may be a view of `chunk`.
   * @throws RpcError for a message that is too large or compressed
   */
  push(chunk: Buffer, onMessage: (message: Uint8Array) => void): void {
    if (chunk.byteLength > 0) this.#pieces.push(chunk);
    this.#bytes += chunk.byteLength;
    for (;;) {
      const length = this.#length();
      if (length === undefined || this.#bytes < PREFIX_BYTES + length) break;
      const all = this.#joined();
      const end = PREFIX_BYTES + length;
      this.#pieces = end < all.byteLength ? [all.subarray(end)] : [];
      this.#bytes -= end;
      onMessage(new Uint8Array(all.buffer, all.byteOffset + PREFIX_BYTES, length));
    }
    // What stays is kept beyond this call, and `chunk` is a view of a buffer that may be large.
    if (this.#bytes > 0 && this.#pieces.at(-1)?.buffer === chunk.buffer) {
      this.#pieces[this.#pieces.length - 1] = Buffer.from(this.#pieces.at(-1) ?? chunk);
    }
  }

  /** Of the message that is being received; undefined while not even that is known. */
  #length(): number | undefined {
    if (this.#bytes < PREFIX_BYTES) return undefined;
    const head = (this.#pieces[0]?.byteLength ?? 0) >= PREFIX_BYTES ? this.#pieces[0] : this.#joined();
    const length = head?.readUInt32BE(1) ?? 0;
    if (length > this.#max) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `grpc: received message larger than max (${length} vs. ${this.#max})`,
      );
    }
    if (head?.[0] !== 0) {
      throw new RpcError('UNIMPLEMENTED', 'grpc: Decompressor is not installed for grpc-encoding');
    }
    return length;
  }

  #joined(): Buffer {
    const [first] = this.#pieces;
    if (first !== undefined && this.#pieces.length === 1) return first;
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [all];
    return all;
  }
}
