/** `tulle store` as a fixture: a process of its own on loopback that a test may kill and start again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { freePorts } from '../../src/sys/free-ports.ts';
import { run } from '../../src/sys/process.ts';
import { within } from './eventually.ts';
import { etcdctl, type StoreServer } from './store-server.ts';

const TULLE = join(import.meta.dirname, '../../bin/tulle');

export interface TulleStoreOptions {
  /** Further flags of `tulle store`. */
  readonly flags?: readonly string[];
  /** Serves https; the flags name the certificate. */
  readonly tls?: boolean;
  /** Its directory is a disk of its own of so many bytes, empty at every start. */
  readonly disk?: number;
  /** Whom `ctl` trusts. */
  readonly caFile?: string;
  /** Further options of Node.js. */
  readonly nodeOptions?: string;
  /** Files and connections that the process may have open. */
  readonly openFiles?: number;
}

export class TulleStore implements StoreServer {
  readonly directory: string;
  readonly port: number;
  readonly #options: TulleStoreOptions;
  #process: ChildProcess | undefined;

  private constructor(directory: string, port: number, options: TulleStoreOptions) {
    this.directory = directory;
    this.port = port;
    this.#options = options;
  }

  /** An empty store, serving. */
  static async start(options: TulleStoreOptions = {}): Promise<TulleStore> {
    const [port = 0] = await freePorts(1);
    const store = new TulleStore(await mkdtemp(join(tmpdir(), 'tulle-store-')), port, options);
    try {
      await store.restart();
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
    return store;
  }

  get url(): string {
    return `${this.#options.tls === true ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  /** The database file. */
  get database(): string {
    return join(this.directory, 'store.db');
  }

  /** What the process says on stderr from now on until it ends, and how it ended. */
  async ended(): Promise<{ readonly output: string; readonly status: number | null }> {
    const child = this.#process;
    if (child?.stderr === null || child === undefined) throw new Error('the store does not run');
    // It may have ended before all that it said is read.
    const closed = once(child, 'close') as Promise<[number | null]>;
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [status] = await closed;
    return { output, status };
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Ends the process at once, as a crash does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Ends the process as systemd does. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  ctl(...args: string[]): Promise<string> {
    return etcdctl(this.url, args, { caFile: this.#options.caFile });
  }

  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async restore(snapshot: string): Promise<void> {
    await this.kill();
    await this.#forget();
    await run(TULLE, ['store', 'restore', snapshot, `--data-dir=${this.directory}`]);
    await this.restart();
  }

  /** Serves (again), on the same port and data. @throws Error with what the process said when it does not. */
  async restart(options: { readonly empty?: boolean } = {}): Promise<void> {
    await this.kill();
    if (options.empty === true) await this.#forget();
    const { disk, openFiles, nodeOptions } = this.#options;
    // However the test process ends, the kernel ends its server with it.
    const args = [
      '--pdeathsig',
      'KILL',
      ...(disk === undefined ? [] : onDisk(this.directory, disk)),
      ...(openFiles === undefined ? [] : ['prlimit', `--nofile=${openFiles}`]),
      TULLE,
      'store',
      `--data-dir=${this.directory}`,
      `--listen-client-urls=${this.url}`,
      ...(this.#options.flags ?? []),
    ];
    const child = spawn('setpriv', args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: nodeOptions === undefined ? process.env : { ...process.env, NODE_OPTIONS: nodeOptions },
    });
    this.#process = child;
    await within('the store serves', untilServing(child.stderr));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #forget(): Promise<void> {
    const files = await readdir(this.directory);
    for (const file of files.filter(name => name.startsWith('store.db')))
      await rm(join(this.directory, file));
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await within(`the store ends after ${signal}`, exited);
  }
}

/** @throws Error with what the process said when it ends instead. */
async function untilServing(stderr: Readable): Promise<void> {
  const said: string[] = [];
  for await (const line of createInterface(stderr)) {
    if (line.includes('"msg":"serving"')) {
      stderr.resume();
      return;
    }
    said.push(line);
  }
  throw new Error(said.join('\n'));
}

/** What runs a program that sees a disk of `size` bytes mounted on `directory`; nobody else sees it. */
function onDisk(directory: string, size: number): string[] {
  const script = `mount -t tmpfs -o size=${size} tulle-store "$0" && exec "$@"`;
  return ['unshare', '--mount', 'sh', '-c', script, directory];
}
