/** `tulle store` as an object: a Core, its services, and the ports they are reached at. */
import { statSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { endOnFailure } from '../console/program.ts';
import { Auth } from '../store/wire/generated/auth_pb.ts';
import { Cluster } from '../store/wire/generated/cluster_pb.ts';
import { Health } from '../store/wire/generated/health_pb.ts';
import { KV } from '../store/wire/generated/kv_pb.ts';
import { Lease } from '../store/wire/generated/lease_pb.ts';
import { Maintenance } from '../store/wire/generated/maintenance_pb.ts';
import { Watch } from '../store/wire/generated/watch_pb.ts';
import { authService } from './auth/auth-service.ts';
import type { Authorizer } from './auth/authorizer.ts';
import type { StoreConfig } from './config.ts';
import { Core } from './core.ts';
import { Gateway } from './http/gateway.ts';
import { GrpcServer } from './http/grpc-server.ts';
import { healthService } from './http/health-service.ts';
import { type Enrollment, httpServer } from './http/http-server.ts';
import { Listener } from './http/listener.ts';
import { kvService } from './kv/kv-service.ts';
import { leaseService } from './lease/lease-service.ts';
import { clusterService, type MemberInfo, maintenanceService } from './maintenance-service.ts';
import { Metrics } from './metrics.ts';
import { compactAutomatically } from './mvcc/compactor.ts';
import { type Service, serviceOf } from './rpc.ts';
import { databaseIn } from './sqlite/files.ts';
import { watchService } from './watch/watch-service.ts';

export type StoreServerOptions = StoreConfig & {
  readonly clock: Clock;
  readonly log: Logger;
  /** Decides what callers with certain certificates may write. */
  readonly authorizer?: Authorizer;
  /** Lets clients without a certificate ask for one. */
  readonly enrollment?: Enrollment;
};

/** Largest message a client may send, in bytes: etcd's request limit and its allowance for the frame around it. */
const MAX_MESSAGE_BYTES = (1536 + 512) * 1024;

export class StoreServer implements AsyncDisposable {
  readonly #core: Core;
  readonly #grpc: GrpcServer;
  readonly #http: HttpServer;
  readonly #gateway: Gateway;
  readonly #listeners: Listener[] = [];
  readonly #stop = new AbortController();
  readonly #compacting: Promise<void>;

  /** Opens the database and listens. @throws DatabaseError, or why a port cannot be used */
  static async start(options: StoreServerOptions): Promise<StoreServer> {
    const server = new StoreServer(options);
    try {
      await server.#listen(options);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  private constructor(options: StoreServerOptions) {
    const { dataDir, clock, log, quota, progressMs, autoCompaction, authorizer, enrollment } = options;
    const path = databaseIn(dataDir);
    warnOfOpenDirectory(dataDir, log);
    this.#core = new Core({
      path,
      clock,
      log,
      quota,
      progressMs,
      ...(authorizer === undefined ? {} : { authorizer }),
      onDiskFailed: endOnFailure,
    });
    const metrics = new Metrics(
      this.#core,
      options.listen.flatMap(({ files }) => files ?? []),
    );
    const services = servicesOf(this.#core, { name: options.name, clientUrls: options.advertise });
    this.#grpc = new GrpcServer(services, MAX_MESSAGE_BYTES, log, (service, method, status) =>
      metrics.handled(service, method, status),
    );
    this.#gateway = new Gateway(services, MAX_MESSAGE_BYTES);
    this.#http = httpServer({ core: this.#core, gateway: this.#gateway, metrics, log, enrollment });
    this.#compacting =
      autoCompaction === undefined
        ? Promise.resolve()
        : compactAutomatically(this.#core, autoCompaction, clock, log, this.#stop.signal);
  }

  /** The ports in use, in the order of `listen`. */
  get ports(): number[] {
    return this.#listeners.map(listener => listener.port);
  }

  /** The newest revision; what was there after a restart. */
  get revision(): bigint {
    return this.#core.mvcc.revision;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#grpc.close();
    this.#http.close();
    this.#http.closeAllConnections();
    await this.#gateway[Symbol.asyncDispose]();
    await Promise.all(this.#listeners.map(listener => listener[Symbol.asyncDispose]()));
    await this.#compacting;
    await this.#core[Symbol.asyncDispose]();
  }

  async #listen({ listen, log, enrollment }: StoreServerOptions): Promise<void> {
    for (const endpoint of listen) {
      const protocols = {
        http2: (socket: Socket) => this.#grpc.accept(socket),
        http1: (socket: Socket) => this.#http.emit('connection', socket),
      };
      this.#listeners.push(
        await Listener.open({ ...endpoint, anonymous: enrollment !== undefined }, protocols, log),
      );
    }
  }
}

/** What Tulle keeps there is for the owner only whatever the directory is; but others see the names, and backups. */
function warnOfOpenDirectory(dataDir: string, log: Logger): void {
  const mode = statSync(dataDir).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  const hint = `chmod 0700 ${dataDir}`;
  log.warn({ dataDir, mode: mode.toString(8), hint }, 'other users can read the data directory of the store');
}

function servicesOf(core: Core, member: MemberInfo): Service[] {
  const services = [
    serviceOf(KV, kvService(core)),
    serviceOf(Watch, watchService(core)),
    serviceOf(Lease, leaseService(core)),
    serviceOf(Cluster, clusterService(core, member)),
    serviceOf(Maintenance, maintenanceService(core)),
    serviceOf(Auth, authService(core)),
  ];
  const names = services.map(service => service.description.typeName);
  return [...services, serviceOf(Health, healthService(names, core))];
}
