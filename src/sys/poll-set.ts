/** Descriptors that one poll(2) waits for: an array of struct pollfd {int fd; short events; short revents}. */

import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { EINTR, pollDescriptors } from './packet-calls.ts';
import type { PacketMemory } from './packet-memory.ts';

const POLLFD_SIZE = 8;
const EVENTS = 4;
const REVENTS = 6;

export class PollSet {
  readonly #memory: PacketMemory;
  readonly #at: number;
  readonly #count: number;

  /** @param fds -1 stands for none: nothing ever happens to it. */
  constructor(memory: PacketMemory, fds: readonly number[]) {
    this.#memory = memory;
    this.#count = fds.length;
    this.#at = memory.reserve(fds.length * POLLFD_SIZE);
    for (const [index, fd] of fds.entries())
      memory.view.setInt32(this.#at + index * POLLFD_SIZE, fd, HOST_IS_LITTLE);
  }

  /** @param events POLLIN, POLLOUT or 0: then only a failure is seen. */
  want(index: number, events: number): void {
    this.#memory.view.setInt16(this.#at + index * POLLFD_SIZE + EVENTS, events, HOST_IS_LITTLE);
  }

  /** What has happened to a descriptor since the last `wait`. */
  happened(index: number): number {
    return this.#memory.view.getInt16(this.#at + index * POLLFD_SIZE + REVENTS, HOST_IS_LITTLE);
  }

  /** Blocks this thread until something happens. @returns how many descriptors it happened to, or -errno. */
  wait(): number {
    const result = pollDescriptors(this.#memory.address + this.#at, this.#count, -1);
    return result === -EINTR ? 0 : result;
  }
}
