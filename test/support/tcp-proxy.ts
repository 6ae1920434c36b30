/**
 * A TCP proxy on loopback that misbehaves on request, like the networks between an agent and its store: it
 * holds back one direction while the connection looks alive, resets connections, refuses new ones, adds delay.
 *
 *     client  ---- to-server --->  proxy  ---- to-server --->  server
 *             <--- to-client ----         <--- to-client ----
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { freePorts } from '../../src/sys/free-ports.ts';
import type { Netns } from '../../src/sys/netns.ts';
import { within } from './eventually.ts';

/** A port in another network namespace, of all of its addresses; a socket stays where it was made. */
export interface PortElsewhere {
  readonly port: number;
  readonly netns: Netns;
}

export type Direction = 'to-server' | 'to-client';

/** One way of a connection; bytes leave in the order they came. */
interface Lane {
  readonly from: Socket;
  readonly to: Socket;
  last: Promise<void>;
}

export class TcpProxy implements AsyncDisposable {
  /** Of the loopback interface; 0 when it listens at a path. */
  readonly port: number;
  readonly #listen: (server: Server) => void;
  #target: number;
  readonly #server: Server;
  readonly #lanes = new Map<Direction, Set<Lane>>([
    ['to-server', new Set()],
    ['to-client', new Set()],
  ]);
  readonly #stalled = new Set<Direction>();
  #delay = 0;
  /** Connections accepted so far. */
  accepted = 0;

  private constructor(target: number, server: Server, port: number, listen: (server: Server) => void) {
    this.#target = target;
    this.#server = server;
    this.#listen = listen;
    this.port = port;
  }

  /**
   * Forwards to 127.0.0.1:`target` from a port of loopback (0: any), from a unix socket, which programs in other
   * network namespaces reach as well, or from a port in a namespace of its own.
   */
  static async start(target: number, place: number | string | PortElsewhere = 0): Promise<TcpProxy> {
    const server = createServer();
    // One that the kernel chooses could be another's while the proxy refuses.
    const at = place === 0 ? ((await freePorts(1))[0] ?? 0) : place;
    listenAt(server, at);
    await within('the proxy listens', once(server, 'listening'));
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const proxy = new TcpProxy(target, server, port, idle => listenAt(idle, at));
    server.on('connection', socket => proxy.#accept(socket));
    return proxy;
  }

  /** Bytes of this direction wait, on connections that are open and on new ones. Nothing is closed. */
  stall(direction: Direction): void {
    this.#stalled.add(direction);
    for (const { from } of this.#of(direction)) from.pause();
  }

  /** What waited goes on. */
  resume(): void {
    this.#stalled.clear();
    for (const direction of ['to-server', 'to-client'] as const) {
      for (const { from } of this.#of(direction)) from.resume();
    }
  }

  /** Every byte from now on arrives this many milliseconds later. */
  delay(ms: number): void {
    this.#delay = ms;
  }

  /** Leads to another server from now on; open connections stay where they are. */
  retarget(port: number): void {
    this.#target = port;
  }

  /** Closes one direction of every open connection, as a side does that has nothing more to say. */
  halfClose(direction: Direction): void {
    for (const { to } of this.#of(direction)) to.end();
  }

  /** Resets every open connection; new ones are accepted. */
  reset(): void {
    for (const { from, to } of this.#of('to-server')) {
      reset(from);
      reset(to);
    }
  }

  /** Resets every open connection and refuses new ones, until `listen()`. */
  async refuse(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.reset();
    await within('the proxy has closed', closed);
  }

  async listen(): Promise<void> {
    this.#listen(this.#server);
    await within('the proxy listens again', once(this.#server, 'listening'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.refuse();
  }

  #of(direction: Direction): Set<Lane> {
    return this.#lanes.get(direction) ?? new Set();
  }

  #accept(client: Socket): void {
    this.accepted++;
    const server = connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true });
    client.allowHalfOpen = true;
    this.#forward('to-server', client, server);
    this.#forward('to-client', server, client);
  }

  #forward(direction: Direction, from: Socket, to: Socket): void {
    const lane: Lane = { from, to, last: Promise.resolve() };
    this.#of(direction).add(lane);
    const later = (action: () => void) => {
      const due = setTimeout(this.#delay);
      lane.last = lane.last.then(() => due).then(action);
    };
    from.on('data', chunk => {
      if (this.#delay === 0) to.write(chunk);
      else later(() => void to.write(chunk));
    });
    from.on('end', () => later(() => to.end()));
    // A reset on one side is a reset on the other.
    from.on('error', () => reset(to));
    from.on('close', () => {
      this.#of(direction).delete(lane);
      if (!to.writableEnded) to.destroy();
    });
    if (this.#stalled.has(direction)) from.pause();
  }
}

function listenAt(server: Server, place: number | string | PortElsewhere): void {
  if (typeof place === 'string') server.listen({ path: place });
  else if (typeof place === 'number') server.listen({ port: place, host: '127.0.0.1' });
  // Without a host name there is nothing to look up, so that the socket is made before `run` comes back.
  else place.netns.run(() => void server.listen(place.port));
}

/** Resets a connection, which only TCP can do. */
function reset(socket: Socket): void {
  if (socket.remoteFamily === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
