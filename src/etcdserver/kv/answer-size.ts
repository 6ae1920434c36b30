/** Adds up what an answer holds while it is read: one that is too large is refused, and not read to its end. */
import { answerTooLarge } from '../errors.ts';
import type { Kv } from '../sqlite/tables.ts';

/** What a key costs besides its bytes and those of its value: many small keys take time, too. */
const KEY_BYTES = 128;

export class AnswerSize {
  readonly #most: number;
  #bytes = 0;

  /** @param most bytes of the largest answer. */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws RpcError when the answer is too large with this. */
  add({ key, value }: Kv): void {
    this.#bytes += key.byteLength + value.byteLength + KEY_BYTES;
    if (this.#bytes > this.#most) throw answerTooLarge(this.#most);
  }
}
