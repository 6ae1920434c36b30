/**
 * TCP and UDP sockets that block, for programs that do nothing but move bytes through one: a load generator spends its
 * time in the kernel, and an event loop in between would be what is measured. Every wait is bounded.
 */
import type { Ip } from '../base/ip.ts';
import { SysError } from './errors.ts';
import {
  accept,
  bind,
  close,
  connect,
  listen,
  recv,
  recvfrom,
  send,
  setsockopt,
  setTimeval,
  socket,
} from './libc.ts';
import { SOCKET_FAMILIES, socketAddress } from './socket-address.ts';

/** SOCK_STREAM and SOCK_DGRAM, include/linux/net.h. */
const TYPES = { tcp: 1, udp: 2 } as const;

/** include/uapi/asm-generic/socket.h, include/uapi/linux/tcp.h. */
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;

/** include/linux/socket.h. */
const MSG_DONTWAIT = 0x40;

/** Bytes of struct sockaddr_in6. */
const LONGEST_ADDRESS = 28;

const ECONNREFUSED = 111;

export type Transport = keyof typeof TYPES;

interface Endpoint {
  readonly ip: Ip;
  readonly port: number;
}

export class BlockingSocket implements Disposable {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @param patience milliseconds that any call may wait. @throws SysError */
  static connect(transport: Transport, to: Endpoint, patience: number): BlockingSocket {
    return BlockingSocket.#open(transport, to, patience, fd => {
      if (transport === 'tcp') setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
      connect(fd, socketAddress(to.ip, to.port));
    });
  }

  /** Receives at this address: datagrams, or with TCP connections. @throws SysError */
  static bind(transport: Transport, at: Endpoint, patience: number): BlockingSocket {
    return BlockingSocket.#open(transport, at, patience, fd => {
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      if (transport === 'udp') setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 4 << 20);
      bind(fd, socketAddress(at.ip, at.port));
      if (transport === 'tcp') listen(fd, 16);
    });
  }

  static #open(transport: Transport, { ip }: Endpoint, patience: number, prepare: (fd: number) => void) {
    const fd = socket(SOCKET_FAMILIES[ip.family], TYPES[transport], 0);
    try {
      const opened = new BlockingSocket(fd);
      opened.patience = patience;
      prepare(fd);
      return opened;
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** Milliseconds that a call may wait. */
  set patience(milliseconds: number) {
    for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) setTimeval(this.#fd, SOL_SOCKET, option, milliseconds);
  }

  /** The next connection; undefined when none came in time. */
  accept(): BlockingSocket | undefined {
    const fd = accept(this.#fd);
    if (fd === undefined) return undefined;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    // It waits as long as the socket that it came from: Linux hands SO_RCVTIMEO and SO_SNDTIMEO on.
    return new BlockingSocket(fd);
  }

  /** As `receive`, of the first datagram: whoever sent it is the other end from then on. */
  receiveFirst(buffer: Uint8Array): number | undefined {
    const sender = new Uint8Array(LONGEST_ADDRESS);
    const size = recvfrom(this.#fd, buffer, sender);
    if (size !== undefined) connect(this.#fd, sender);
    return size;
  }

  /** Bytes sent; undefined when the peer took none in time, or refused a datagram. */
  send(bytes: Uint8Array): number | undefined {
    return unlessRefused(() => send(this.#fd, bytes));
  }

  /** Bytes received, 0 at the end of a connection; undefined when nothing came in time, or a datagram was refused. */
  receive(buffer: Uint8Array): number | undefined {
    return unlessRefused(() => recv(this.#fd, buffer));
  }

  /** As `receive`, of what is there already: does not wait. */
  receiveNow(buffer: Uint8Array): number | undefined {
    return unlessRefused(() => recv(this.#fd, buffer, MSG_DONTWAIT));
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

/** The answer to an earlier datagram: that port has no listener yet, or none any more. */
function unlessRefused(transfer: () => number | undefined): number | undefined {
  try {
    return transfer();
  } catch (error) {
    if (error instanceof SysError && error.errno === ECONNREFUSED) return undefined;
    throw error;
  }
}
