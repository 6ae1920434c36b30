/** Datagrams from peers: several messages with one recvmmsg, each of many datagrams where the kernel has put them together. */
import { MessageHeaders } from '../../sys/message-headers.ts';
import { receiveMessages } from '../../sys/packet-calls.ts';
import type { PacketMemory } from '../../sys/packet-memory.ts';

const MESSAGES = 16;
const BUFFER = 65_536;
/** After a lone datagram one receive in so many asks for several again. */
const BATCH_EVERY = 8;
/** More than the HEADROOM of a packet, and a multiple of 4, so that packets are aligned. */
const BEFORE = 64;

/** Bytes of memory that an Inbox takes. */
export const INBOX_MEMORY = MESSAGES * (BUFFER + BEFORE + 256);

export class Inbox {
  readonly #fd: number;
  readonly #headers: MessageHeaders;
  readonly #buffers: number;
  #used = MESSAGES;
  #wasAlone = false;
  #turn = 0;

  /** @param fd of a non-blocking UDP socket. */
  constructor(memory: PacketMemory, fd: number) {
    this.#fd = fd;
    this.#headers = new MessageHeaders(memory, MESSAGES);
    this.#buffers = memory.reserve(MESSAGES * (BEFORE + BUFFER));
    for (let index = 0; index < MESSAGES; index++) this.#headers.setData(index, this.at(index), BUFFER);
  }

  /**
   * @returns how many messages have come, or -errno. What came before is overwritten. After one that came alone only one
   * is asked for, most of the time: the kernel would look for a second one in vain.
   */
  receive(): number {
    this.#headers.prepareToReceive(this.#used);
    const wanted = this.#wasAlone && ++this.#turn % BATCH_EVERY !== 0 ? 1 : MESSAGES;
    const count = receiveMessages(this.#fd, this.#headers.address(0), wanted);
    if (wanted > 1) this.#wasAlone = count === 1;
    this.#used = Math.max(0, count);
    return count;
  }

  /** Offset of a message; there is HEADROOM before it. */
  at(index: number): number {
    return this.#buffers + index * (BEFORE + BUFFER) + BEFORE;
  }

  length(index: number): number {
    return this.#headers.length(index);
  }

  isTruncated(index: number): boolean {
    return this.#headers.isTruncated(index);
  }

  /** Bytes of each datagram in a message; the last one may be shorter. */
  datagramSize(index: number): number {
    return this.#headers.segmentSize(index) || this.length(index);
  }

  /** Offset of the socket address that a message came from. */
  addressAt(index: number): number {
    return this.#headers.addressAt(index);
  }
}
