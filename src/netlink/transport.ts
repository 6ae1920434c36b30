/**
 * Where datagrams go: the seam between the netlink connection and the kernel. `sys/netlink-socket.ts` is the real
 * one; the fake kernel of the tests speaks the same bytes in memory.
 */
export interface NetlinkTransport extends Disposable {
  /** The number by which the kernel knows it: announcements carry that of their cause, or 0. */
  readonly port: number;
  /** From now on leaves away what the transport with this port has caused. */
  ignore(port: number): void;
  /** Sends one datagram of any number of messages, which is handled when this returns. @throws SysError */
  send(datagram: Uint8Array): void;
  /** The same while other work goes on. @param datagram stays as it is until then. @throws SysError */
  sendAside?(datagram: Uint8Array): Promise<void>;
  /**
   * Receives one datagram into `buffer`: its length, or undefined when there is none.
   * @throws SysError ENOBUFS when something was lost since the last call.
   */
  receive(buffer: Uint8Array): number | undefined;
  /** Resolves when `receive` has something to say; rejects with the signal's reason. */
  readable(signal: AbortSignal): Promise<void>;
}

/** Opens one more transport, which also receives these multicast groups. */
export type OpenTransport = (groups: readonly number[]) => NetlinkTransport;

/** Room for the largest datagram the kernel makes: a dump is sent in pieces of at most 32 KiB. */
export const RECEIVE_SIZE = 1 << 16;
