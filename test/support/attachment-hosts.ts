/**
 * Hosts on one wire whose networks attach containers, with a store on the test's loopback that each reaches on a way of its own.
 *
 *     test ── lines of JSON ──> attachment-agent.ts in h1 ── 127.0.0.1:2379 ── TcpProxy ──┐
 *                               attachment-agent.ts in h2 ── 127.0.0.1:2379 ── TcpProxy ──┴── store
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { namespacesOf } from '../../src/lab/host/anchor.ts';
import { LabHost } from '../../src/lab/host/host.ts';
import { createLab } from '../../src/lab/lab.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import type { ContainerAttachment, ContainerNetwork } from '../../src/network/attachment/attachments.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { Netns } from '../../src/sys/netns.ts';
import { type RunningProcess, start } from '../../src/sys/process.ts';
import { deadline, within } from './eventually.ts';
import { labName } from './lab.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { TulleStore } from './tulle-store.ts';

const PROGRAM = fileURLToPath(new URL('attachment-agent.ts', import.meta.url));
const STORE_PORT = 2379;
const PATIENCE = 60_000;

export const OVERLAY = {
  Network: '10.77.0.0/16',
  EnableIPv6: true,
  IPv6Network: 'fd77::/48',
  Backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
};

/** Values of JSON: addresses are texts. */
export type Plain<T> = T extends { toJSON(): infer Text }
  ? Text
  : T extends readonly (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

export interface AttachmentHosts {
  readonly hosts: readonly [AttachmentHost, AttachmentHost];
  readonly store: TulleStore;
}

/** Two hosts, 192.168.65.3 and 192.168.65.4; everything goes with the test. */
export async function attachmentHosts(t: TestContext): Promise<AttachmentHosts> {
  const resources = new AsyncDisposableStack();
  t.after(() => resources.disposeAsync());
  const directory = await mkdtemp(join(tmpdir(), 'tulle-attach-'));
  resources.defer(() => rm(directory, { recursive: true, force: true }));
  const store = resources.use(await TulleStore.start());
  await using etcd = new EtcdStore({ endpoints: [store.url], tls: {} });
  await etcd.put(`${NETWORK_PREFIX}/config`, new TextEncoder().encode(JSON.stringify(OVERLAY)));
  const link = (...address: string[]) => ({
    links: [{ segment: 'wire', address }],
    forwarding: true,
  });
  const topology = {
    segments: { wire: { subnet: ['192.168.65.0/24', 'fd65::/64'] } },
    hosts: { h1: link('192.168.65.3', 'fd65::3'), h2: link('192.168.65.4', 'fd65::4') },
  };
  const plan = planTopology(topology, { name: labName() });
  const lab = resources.use(await createLab(plan, { signal: deadline('a lab is made', 60_000) }));
  const hosts = await Promise.all(
    lab.record.hosts.map(async ({ name, anchor }) => {
      const host = new LabHost(name, anchor);
      const netns = resources.use(Netns.open(`/proc/${anchor.pid}/ns/net`));
      const proxy = resources.use(await TcpProxy.start(store.port, { port: STORE_PORT, netns }));
      return resources.use(new AttachmentHost(host, proxy, join(directory, name)));
    }),
  );
  return { hosts: hosts as [AttachmentHost, AttachmentHost], store };
}

export class AttachmentHost implements AsyncDisposable {
  readonly lab: LabHost;
  readonly proxy: TcpProxy;
  readonly directory: string;
  #process: RunningProcess | undefined;
  #number = 0;
  readonly #waiting = new Map<
    number,
    (answer: { readonly value?: unknown; readonly error?: object }) => void
  >();

  constructor(lab: LabHost, proxy: TcpProxy, directory: string) {
    this.lab = lab;
    this.proxy = proxy;
    this.directory = directory;
  }

  async start(): Promise<void> {
    const url = `http://127.0.0.1:${STORE_PORT}`;
    const args = [PROGRAM, url, NETWORK_PREFIX, this.directory, join(this.directory, 'subnet.env')];
    this.#process = await start(process.execPath, args, {
      stdin: 'pipe',
      pipeOutput: true,
      namespaces: namespacesOf(this.lab.anchor),
      logFile: this.lab.logFile('attachments'),
    });
    // One that ends in the middle of a call is told of by `#read`.
    this.#process.stdin?.on('error', () => undefined);
    void this.#read(this.#process);
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.ended();
  }

  /** Until it has ended, by itself or not. */
  async ended(): Promise<void> {
    if (this.#process !== undefined) await within('the process ends', this.#process.exited);
    this.#process = undefined;
  }

  async ask<T>(call: string, asked: object = {}): Promise<Plain<T>> {
    const { stdin } = this.#process ?? {};
    assert.ok(stdin, 'it does not run');
    const n = ++this.#number;
    const answer = new Promise<{ readonly value?: unknown; readonly error?: object }>(resolve =>
      this.#waiting.set(n, resolve),
    );
    stdin.write(`${JSON.stringify({ n, call, ...asked })}\n`);
    const { value, error } = await within(`${call} is answered`, answer, PATIENCE);
    if (error !== undefined) throw Object.assign(new Error(), error);
    return value as Plain<T>;
  }

  ensure(name: string, wish: object = {}): Promise<Plain<ContainerNetwork>> {
    const whole = { name, subnets: {}, gateways: {}, ipv6: false, internal: false, ...wish };
    return this.ask('ensure', { wish: whole });
  }

  /** The address that a container of this number gets. */
  reserve(network: string, number: number, wish: object = {}): Promise<string> {
    const whole = {
      family: 'ipv4',
      engine: 'docker',
      container: `c${number}`,
      mac: macText(number),
      ...wish,
    };
    return this.ask('reserve', { network, wish: whole });
  }

  attach(
    network: string,
    number: number,
    ip: string,
    wish: object = {},
  ): Promise<Plain<ContainerAttachment>> {
    const family = ip.includes(':') ? 'ipv6' : 'ipv4';
    const whole = {
      id: `id-${number}`,
      engine: 'docker',
      network,
      addresses: { [family]: ip },
      mac: macText(number),
      container: `c${number}`,
      ports: [],
      ...wish,
    };
    return this.ask('attach', { wish: whole });
  }

  async log(): Promise<string> {
    return readFile(this.lab.logFile('attachments'), 'utf8').catch(() => '');
  }

  /** Runs a line of words without quotes. @throws Error when it fails */
  async run(line: string): Promise<string> {
    const [program = '', ...args] = line.split(' ');
    return (await this.lab.run(program, args, { timeout: PATIENCE })).stdout;
  }

  async pings(netns: string, ip: string): Promise<boolean> {
    const words = ['netns', 'exec', netns, 'ping', '-n', '-c', '1', '-W', '5', ip];
    const { status } = await this.lab.run('ip', words, { timeout: PATIENCE, anyStatus: true });
    return status === 0;
  }

  /** Names of links of this host that belong to attachments. */
  async links(): Promise<string[]> {
    const text = await this.run('ip -o link');
    return [...text.matchAll(/^\d+: (t[ev][0-9a-f]{12})[@:]/gm)].map(([, name = '']) => name).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #read({ stdout, exited }: RunningProcess): Promise<void> {
    assert.ok(stdout);
    for await (const line of createInterface(stdout)) {
      const told = parseAnswer(line);
      if (told === undefined) continue;
      const { n, ...answer } = told;
      this.#waiting.get(n)?.(answer);
      this.#waiting.delete(n);
    }
    await exited;
    for (const [n, tell] of this.#waiting)
      tell({ error: { code: 'ENDED', message: `call ${n} was cut off` } });
    this.#waiting.clear();
  }
}

/** One that is killed may leave half a line. */
function parseAnswer(line: string): { readonly n: number } | undefined {
  try {
    return JSON.parse(line) as { readonly n: number };
  } catch {
    return undefined;
  }
}

export const macText = (number: number) => `02:42:00:00:${hex(number >> 8)}:${hex(number & 255)}`;

const hex = (byte: number) => byte.toString(16).padStart(2, '0');
