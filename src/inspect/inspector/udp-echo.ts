/** Sends datagrams back out of a container, to one address alone, a bounded number of them and for a bounded time. */
import { createSocket, type Socket } from 'node:dgram';
import { LONGEST_OBSERVATION } from '../../api/inspection-lines.ts';
import type { Ip } from '../../base/ip.ts';
import { getsockname } from '../../sys/libc.ts';
import type { Netns } from '../../sys/netns.ts';
import { SOCKADDR } from '../../sys/socket-address.ts';
import { openUdpSocket } from '../../sys/udp-socket.ts';
import type { OngoingEcho } from './inspector.ts';

/** Datagrams, and bytes of one: more than a probe of the fast path sends. */
const MOST = 1000;
const LONGEST = 64;

export interface EchoEnds {
  /** Of the container. */
  readonly address: Ip;
  readonly from: Ip;
}

export class UdpEcho implements OngoingEcho {
  readonly port: number;
  readonly #socket: Socket;
  readonly #limit: NodeJS.Timeout;
  #count = 0;

  private constructor(fd: number, { address, from }: EchoEnds, longest: number) {
    const name = getsockname(fd, SOCKADDR[address.family].length);
    this.port = new DataView(name.buffer, name.byteOffset).getUint16(2);
    this.#socket = createSocket(address.family === 'ipv4' ? 'udp4' : 'udp6');
    this.#socket.on('message', (bytes, sender) => {
      if (sender.address !== String(from) || bytes.byteLength > LONGEST || ++this.#count > MOST) return;
      this.#socket.send(bytes, sender.port, sender.address, () => undefined);
    });
    // What cannot be sent back is lost, and that is what is measured.
    this.#socket.on('error', () => undefined);
    this.#socket.bind({ fd });
    this.#limit = setTimeout(() => this.#end(), longest);
    this.#limit.unref();
  }

  /**
   * @param netns stays the caller's. @param longest milliseconds
   * @throws SysError where it does not have the address
   */
  static open(netns: Netns, ends: EchoEnds, longest = LONGEST_OBSERVATION): UdpEcho {
    return new UdpEcho(
      netns.run(() => openUdpSocket(ends.address, 0)),
      ends,
      longest,
    );
  }

  #isOpen = true;

  #end(): void {
    clearTimeout(this.#limit);
    if (this.#isOpen) this.#socket.close();
    this.#isOpen = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
  }
}
