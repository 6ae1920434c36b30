/** Messages in a TCP stream: each behind its length, a number of 16 bits (RFC 1035, section 4.2.2). */

import { MOST_TCP } from './constants.ts';

export class MessageFrames {
  readonly #most: number;
  #rest: Uint8Array = new Uint8Array();

  /** @param most bytes of a message: what announces more is refused before it is read */
  constructor(most: number = MOST_TCP) {
    this.#most = most;
  }

  /** @returns the messages that are whole now, each a copy. @throws RangeError for one that is too long */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    const bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const messages: Uint8Array[] = [];
    let start = 0;
    while (start + 2 <= bytes.byteLength) {
      const length = view.getUint16(start);
      if (length > this.#most)
        throw new RangeError(`a message of ${length} bytes, not ${this.#most} at most`);
      const end = start + 2 + length;
      if (end > bytes.byteLength) break;
      messages.push(Uint8Array.from(bytes.subarray(start + 2, end)));
      start = end;
    }
    this.#rest = Uint8Array.from(bytes.subarray(start));
    return messages;
  }

  static frame(message: Uint8Array): Uint8Array {
    const framed = new Uint8Array(message.byteLength + 2);
    new DataView(framed.buffer).setUint16(0, message.byteLength);
    framed.set(message, 2);
    return framed;
  }
}
