/** A TCP or UDP socket of a network namespace that asks one port for an answer (tcp(7), udp(7)). */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import type { Ip } from '../base/ip.ts';
import { SysError } from './errors.ts';
import { bind, close, connect, getsockname, getsockopt, recv, SOCK_NONBLOCK, send, socket } from './libc.ts';
import type { Netns } from './netns.ts';
import { readable, writable } from './readiness.ts';
import { SOCKADDR, SOCKET_FAMILIES, socketAddress } from './socket-address.ts';

/** include/linux/net.h. */
const TYPES = { tcp: 1, udp: 2 } as const;

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_ERROR = 4;

/** include/uapi/asm-generic/errno.h. */
const EINPROGRESS = 115;

const LONGEST_ANSWER = 2048;

export class ConnectingSocket implements Disposable {
  readonly #fd: number;
  readonly #transport: keyof typeof TYPES;
  /** The local one. */
  readonly port: number;

  private constructor(fd: number, transport: keyof typeof TYPES, port: number) {
    this.#fd = fd;
    this.#transport = transport;
    this.port = port;
  }

  /** Sends nothing yet. @throws SysError EADDRNOTAVAIL where the namespace does not have the source */
  static open(netns: Netns, transport: keyof typeof TYPES, source: Ip): ConnectingSocket {
    const fd = netns.run(() => socket(SOCKET_FAMILIES[source.family], TYPES[transport] | SOCK_NONBLOCK, 0));
    try {
      bind(fd, socketAddress(source, 0));
      const address = getsockname(fd, SOCKADDR[source.family].length);
      const port = new DataView(address.buffer, address.byteOffset).getUint16(2);
      return new ConnectingSocket(fd, transport, port);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /**
   * Resolves with TCP when the connection is there, with UDP when a datagram has come back.
   *
   * @throws SysError with what came instead: ECONNREFUSED, EHOSTUNREACH, ...; `signal.reason`
   */
  async ask(to: Ip, port: number, signal: AbortSignal): Promise<void> {
    try {
      connect(this.#fd, socketAddress(to, port));
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== EINPROGRESS) throw error;
    }
    if (this.#transport === 'tcp') {
      await writable(this.#fd, signal);
      this.#check();
      return;
    }
    send(this.#fd, new Uint8Array(1));
    await readable(this.#fd, signal);
    this.#check();
    recv(this.#fd, new Uint8Array(LONGEST_ANSWER));
  }

  #check(): void {
    const value = getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, 4);
    const errno = new DataView(value.buffer).getInt32(0, HOST_IS_LITTLE);
    if (errno !== 0) throw new SysError('connect', errno);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}
