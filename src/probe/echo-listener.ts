/**
 * The echo requests that come to this host with a mark of ours at the beginning of their data. The kernel answers them; this
 * only looks. It costs a bounded time, whatever is sent: other requests are dropped by the kernel, and of a flood of marked
 * ones only a part is read.
 */
import { type Clock, systemClock } from '../base/clock.ts';
import type { Family, Ip } from '../base/ip.ts';
import { IcmpSocket, MESSAGE_OFFSET } from '../sys/icmp-socket.ts';
import type { Netns } from '../sys/netns.ts';
import { keep, loadWord, whetherEqual } from '../sys/socket-filter.ts';
import { ECHO_HEADER, requestData, requestType } from './icmp.ts';

/** Bytes of a request that are read, from its IP header on. */
const LONGEST = 256;
/** So many are read, and then none for so many milliseconds. */
const BATCH = 64;
const REST = 50;

export class EchoListener implements Disposable {
  readonly #socket: IcmpSocket;
  readonly #clock: Clock;

  private constructor(socket: IcmpSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  /** @param mark 32 bits. @param netns stays the caller's. @throws SysError EPERM without the right to read ICMP. */
  static open(netns: Netns, family: Family, mark: number, clock: Clock = systemClock): EchoListener {
    const filter = [
      loadWord(MESSAGE_OFFSET[family] + ECHO_HEADER),
      whetherEqual(mark, 0, 1),
      keep(LONGEST),
      keep(0),
    ];
    return new EchoListener(IcmpSocket.open(netns, family, [requestType(family)], { filter }), clock);
  }

  /**
   * Reads until `signal` aborts.
   * @param onRequest `data` from its mark on, a view that is valid during the call.
   */
  async run(onRequest: (from: Ip, data: Uint8Array) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#socket.readable(signal).catch(() => undefined);
      for (let count = 0; count < BATCH && !signal.aborted; count++) {
        const message = this.#socket.receive();
        if (message === undefined) break;
        const data = requestData(this.#socket.family, message.bytes);
        if (data !== undefined) onRequest(message.from, data);
      }
      await this.#clock.sleep(REST, signal).catch(() => undefined);
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
