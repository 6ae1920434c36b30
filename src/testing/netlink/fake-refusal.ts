/** How the fake kernel says no. */
import { constants } from 'node:os';

export type ErrnoName = keyof typeof constants.errno;

export class FakeRefusal extends Error {
  /** Positive. */
  readonly errno: number;

  /** @param words the kernel's own, sent as extended ack. */
  constructor(code: ErrnoName, words = '') {
    super(words);
    this.errno = constants.errno[code];
  }
}
