/**
 * Credentials that remember the sockets of their channel, so that a connection can be given up before it is
 * made. grpc-js forgets a socket whose handshake never ends (a frozen server accepts connections, and says
 * nothing): closing the channel leaves it open.
 */
import type { Socket } from 'node:net';
import { type CallCredentials, ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';

type Target = Parameters<ChannelCredentials['_createSecureConnector']>[0];
type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

export class SocketTracking extends ChannelCredentials {
  readonly #inner: ChannelCredentials;
  readonly #sockets = new Set<Socket>();
  #abandoned = false;

  constructor(inner: ChannelCredentials) {
    super();
    this.#inner = inner;
  }

  /** Closes every connection of the channel, made or not. */
  abandon(): void {
    this.#abandoned = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Addresses of this host that its connections come from. */
  get localAddresses(): string[] {
    return Array.from(this.#sockets, socket => socket.localAddress).filter(address => address !== undefined);
  }

  override _isSecure(): boolean {
    return this.#inner._isSecure();
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    target: Target,
    options: ChannelOptions,
    callCredentials?: CallCredentials,
  ): SecureConnector {
    const inner = this.#inner._createSecureConnector(target, options, callCredentials);
    return {
      connect: socket => {
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        if (this.#abandoned) socket.destroy();
        return inner.connect(socket);
      },
      waitForReady: () => inner.waitForReady(),
      getCallCredentials: () => inner.getCallCredentials(),
      destroy: () => inner.destroy(),
    };
  }
}
