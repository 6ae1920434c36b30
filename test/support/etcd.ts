/**
 * Debian's etcd as a fixture: real servers on loopback, in a temporary directory of their own, that a test may
 * stop, freeze, empty and restart. Everything is gone when the fixture is disposed of.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../src/base/errors.ts';
import { freePorts } from '../../src/sys/free-ports.ts';
import { requires } from './capabilities.ts';
import type { Certificate } from './certificates.ts';
import { deadline, eventually, within } from './eventually.ts';
import { etcdctl, type StoreServer } from './store-server.ts';

/** Options for `test`. */
export const needsEtcd = requires(
  ['etcd', 'etcdctl'].every(program => existsSync(`/usr/bin/${program}`)),
  'needs etcd and etcdctl',
);

export interface EtcdFixtureOptions {
  /** Serves TLS with this certificate. */
  readonly certificate?: Certificate;
  /** Whom `ctl` trusts. */
  readonly caFile?: string;
  /** Asks clients for a certificate of this authority. */
  readonly clientAuthority?: string;
  /** Further flags of etcd. */
  readonly flags?: readonly string[];
}

/** What is the same over all lives of a member. */
interface Place {
  readonly name: string;
  readonly directory: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly healthPort: number;
  readonly cluster: string;
}

export class Etcd implements StoreServer {
  readonly #place: Place;
  readonly #options: EtcdFixtureOptions;
  #process: ChildProcess | undefined;
  #output = '';

  private constructor(place: Place, options: EtcdFixtureOptions) {
    this.#place = place;
    this.#options = options;
  }

  /** One member, serving. */
  static async start(options: EtcdFixtureOptions = {}): Promise<Etcd> {
    const [member] = await Etcd.cluster(1, options);
    if (member === undefined) throw new Error('no member');
    return member;
  }

  /** Members of one cluster, all serving. */
  static async cluster(size: number, options: EtcdFixtureOptions = {}): Promise<Etcd[]> {
    const ports = await freePorts(3 * size);
    const base = await Promise.all(
      Array.from({ length: size }, async (_, index) => ({
        name: `m${index}`,
        directory: await mkdtemp(join(tmpdir(), 'tulle-etcd-')),
        clientPort: ports[3 * index] ?? 0,
        peerPort: ports[3 * index + 1] ?? 0,
        healthPort: ports[3 * index + 2] ?? 0,
      })),
    );
    const cluster = base.map(({ name, peerPort }) => `${name}=http://127.0.0.1:${peerPort}`).join(',');
    const members = base.map(place => new Etcd({ ...place, cluster }, options));
    try {
      for (const member of members) member.#spawn();
      await Promise.all(members.map(member => member.#untilServing()));
    } catch (error) {
      await Promise.all(members.map(member => member[Symbol.asyncDispose]()));
      throw error;
    }
    return members;
  }

  get url(): string {
    return `${this.#options.certificate ? 'https' : 'http'}://127.0.0.1:${this.#place.clientPort}`;
  }

  get port(): number {
    return this.#place.clientPort;
  }

  /** etcdctl's output; `args` begin with further flags, such as those of TLS. */
  ctl(...args: string[]): Promise<string> {
    return etcdctl(this.url, args, { caFile: this.#options.caFile });
  }

  /** Ends the member at once, as a crash does. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
    child.kill('SIGKILL');
    if (exited !== undefined) await within('etcd ends', exited);
  }

  /** Serves again, on the same ports. `empty` loses the data first. */
  async restart(options: { readonly empty?: boolean } = {}): Promise<void> {
    await this.kill();
    if (options.empty === true) await rm(join(this.#place.directory, 'data'), { recursive: true });
    this.#spawn();
    await this.#untilServing();
  }

  /** Serves again, with the contents of a snapshot, as `etcdctl snapshot restore` makes a new cluster of it. */
  async restore(snapshot: string): Promise<void> {
    await this.kill();
    const { name, directory, peerPort, cluster } = this.#place;
    const data = join(directory, 'data');
    await rm(data, { recursive: true });
    await this.ctl(
      'snapshot',
      'restore',
      snapshot,
      `--data-dir=${data}`,
      `--name=${name}`,
      `--initial-cluster=${cluster}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
    );
    await this.restart();
  }

  /** The process stops in its tracks; its connections stay open, and nobody answers. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#place.directory, { recursive: true, force: true });
  }

  #spawn(): void {
    const { name, directory, peerPort, healthPort, cluster } = this.#place;
    const { certificate, clientAuthority, flags = [] } = this.#options;
    const peer = `http://127.0.0.1:${peerPort}`;
    const args = [
      `--name=${name}`,
      `--data-dir=${join(directory, 'data')}`,
      '--logger=zap',
      '--log-level=warn',
      `--listen-client-urls=${this.url}`,
      `--advertise-client-urls=${this.url}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${cluster}`,
      `--listen-metrics-urls=http://127.0.0.1:${healthPort}`,
      // Quick elections, quick expiry of leases, and pings as often as a test wants.
      '--heartbeat-interval=50',
      '--election-timeout=500',
      '--grpc-keepalive-min-time=100ms',
      ...(certificate ? [`--cert-file=${certificate.certFile}`, `--key-file=${certificate.keyFile}`] : []),
      ...(clientAuthority ? ['--client-cert-auth', `--trusted-ca-file=${clientAuthority}`] : []),
      ...flags,
    ];
    // However the test process ends, the kernel ends its servers with it.
    const command = ['--pdeathsig', 'KILL', 'etcd', ...args];
    const child = spawn('setpriv', command, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#output = '';
    child.stderr.on(
      'data',
      (chunk: Buffer) => (this.#output = (this.#output + chunk.toString()).slice(-4000)),
    );
    this.#process = child;
  }

  /** @throws Error with what the member said, when it ends or does not serve in time */
  async #untilServing(): Promise<void> {
    const url = `http://127.0.0.1:${this.#place.healthPort}/health`;
    const signal = deadline('etcd answers');
    const child = this.#process;
    const hasEnded = () => (child?.exitCode ?? child?.signalCode ?? null) !== null;
    try {
      await eventually('etcd serves', async () => {
        if (hasEnded()) return true;
        const health = await (await fetch(url, { signal })).text();
        return health.includes('"true"') || assert.fail(health);
      });
      if (hasEnded()) throw new Error(`etcd has ended: ${child?.signalCode ?? child?.exitCode}`);
    } catch (error) {
      throw new Error(`${messageOf(error)}:\n${this.#output}`, { cause: error });
    }
  }
}
