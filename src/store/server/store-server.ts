/** `tulle store` as an object: a Core, its services, and the ports they are reached at. */
import { createServer as createHttpServer } from 'node:http';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { KV } from '../wire/generated/kv_pb.ts';
import { Lease } from '../wire/generated/lease_pb.ts';
import { Watch } from '../wire/generated/watch_pb.ts';
import { Core } from './core.ts';
import { addServices } from './grpc-transport.ts';
import { kvService } from './kv-service.ts';
import { leaseService } from './lease-service.ts';
import { type Endpoint, Listener, type Protocols } from './listener.ts';
import { type Service, serviceOf } from './rpc.ts';
import { watchService } from './watch-service.ts';

/** The database inside the data directory. */
export const DATABASE_FILE = 'store.db';

export interface StoreServerOptions {
  /** An existing directory; the database in it is made when it is not there. */
  readonly dataDir: string;
  readonly listen: readonly Endpoint[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** Largest message a client may send, in bytes: etcd's request limit and its allowance for the frame around it. */
const MAX_MESSAGE_BYTES = (1536 + 512) * 1024;

export class StoreServer implements AsyncDisposable {
  readonly #core: Core;
  readonly #grpc: Server;
  readonly #protocols: Protocols;
  readonly #listeners: Listener[] = [];
  readonly #log: Logger;

  /** Opens the database and listens. @throws DatabaseError, or why a port cannot be used */
  static async start(options: StoreServerOptions): Promise<StoreServer> {
    const server = new StoreServer(options);
    try {
      for (const endpoint of options.listen) {
        server.#listeners.push(await Listener.open(endpoint, server.#protocols, options.log));
      }
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  private constructor({ dataDir, clock, log }: StoreServerOptions) {
    this.#log = log;
    this.#core = new Core({ path: join(dataDir, DATABASE_FILE), clock, log });
    this.#grpc = new Server({
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': 2 ** 31 - 1,
    });
    addServices(this.#grpc, servicesOf(this.#core), log);
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    const http = createHttpServer((_request, response) => {
      response.writeHead(404).end();
    });
    this.#protocols = {
      http2: socket => injector.injectConnection(socket),
      http1: socket => http.emit('connection', socket),
    };
  }

  /** The ports in use, in the order of `listen`. */
  get ports(): number[] {
    return this.#listeners.map(listener => listener.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#grpc.forceShutdown();
    await Promise.all(this.#listeners.map(listener => listener[Symbol.asyncDispose]()));
    await this.#core[Symbol.asyncDispose]();
    this.#log.info({}, 'stopped');
  }
}

function servicesOf(core: Core): Service[] {
  return [
    serviceOf(KV, kvService(core)),
    serviceOf(Lease, leaseService(core)),
    serviceOf(Watch, watchService(core)),
  ];
}
