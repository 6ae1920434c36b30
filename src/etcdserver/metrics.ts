/** Numbers for Prometheus, under etcd's names where etcd has one, so that its dashboards and alerts work. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { TlsFiles } from '../store/tls-files.ts';
import type { Core } from './core.ts';

export class Metrics {
  readonly #registry = new Registry();
  readonly #handled: Counter;

  /** @param tls of the ports that have certificates */
  constructor(core: Core, tls: readonly TlsFiles[]) {
    const registers = [this.#registry];
    this.#handled = new Counter({
      name: 'grpc_server_handled_total',
      help: 'Requests completed, by status.',
      labelNames: ['grpc_service', 'grpc_method', 'grpc_code'],
      registers,
    });
    const gauge = (name: string, help: string, read: () => number | bigint) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(Number(read()));
        },
      });
    gauge('etcd_server_has_leader', 'Always 1: the only member leads.', () => 1);
    gauge('etcd_mvcc_db_total_size_in_bytes', 'Size of the database file.', () => core.database.size().total);
    gauge(
      'etcd_mvcc_db_total_size_in_use_in_bytes',
      'Part of the file that is in use.',
      () => core.database.size().inUse,
    );
    gauge('etcd_debugging_mvcc_current_revision', 'The newest revision.', () => core.mvcc.revision);
    gauge(
      'etcd_debugging_mvcc_compact_revision',
      'The oldest revision that can be read.',
      () => core.mvcc.compactedRevision,
    );
    gauge('etcd_debugging_mvcc_watcher_total', 'Watches.', () => core.hub.watchers);
    gauge('etcd_debugging_mvcc_watch_stream_total', 'Streams of watches.', () => core.hub.streams);
    gauge('etcd_debugging_lease_total', 'Leases.', () => core.lessor.size);
    new Gauge({
      name: 'tulle_certificate_expires_seconds',
      help: 'When the certificate in this file ends, in seconds since 1970.',
      labelNames: ['file'],
      registers,
      collect() {
        const ends = tls.flatMap(files => files.ends);
        for (const { file, end } of ends) this.set({ file }, end.getTime() / 1000);
      },
    });
    gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss());
    const commits = new Histogram({
      name: 'etcd_disk_backend_commit_duration_seconds',
      help: 'Time from the commit of a group of requests until it is on the disk.',
      buckets: [
        0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
      ],
      registers,
    });
    core.onCommit(seconds => commits.observe(seconds));
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** One request is answered. @param code the gRPC status by name: `OK`. */
  handled(service: string, method: string, code: string): void {
    this.#handled.inc({ grpc_service: service, grpc_method: method, grpc_code: code });
  }
}
