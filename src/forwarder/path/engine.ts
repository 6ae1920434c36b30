/**
 * What a packet looks like on its way between two hosts. The packet path knows no more of it than this page, so that
 * another engine (one that encrypts, say) changes nothing else.
 */
import type { PacketMemory } from '../../sys/packet-memory.ts';

export interface Engine {
  /** Bytes that a datagram has before and after its packet. */
  readonly headroom: number;
  readonly tailroom: number;
  /**
   * Makes a datagram of a packet, in place: of the headroom before `at`, the packet, and the tailroom.
   * @param slot of the route it takes.
   */
  seal(memory: PacketMemory, slot: number, at: number, length: number): void;
  /**
   * Finds the packet in a datagram, in place.
   * @returns its offset; whatever is there is checked by who asks. -1 to drop the datagram.
   */
  open(memory: PacketMemory, at: number, length: number): number;
}

/** flannel's udp backend: a datagram is an IP packet, without a header (pkg/backend/udp/proxy_amd64.c). */
export const plainEngine: Engine = {
  headroom: 0,
  tailroom: 0,
  seal: () => undefined,
  open: (_memory, at) => at,
};
