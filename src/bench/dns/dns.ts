/**
 * How soon a container has the address of another one, from the resolver of Tulle and from dnsmasq with the same names:
 *
 *     container  eth0 10.9.0.2 ═══ bridge tb0 of the host: 10.9.0.1 tulle, 10.9.0.3 dnsmasq
 *
 * Both run at the same time, each as a process of its own, and are asked in turns, so that a busy machine is busy for both.
 */
import { createSocket, type Socket } from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { written } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { parseInterfaceAddress } from '../../base/prefix.ts';
import { CLASS, DNS_PORT, TYPE } from '../../dns/constants.ts';
import { writeName } from '../../dns/domain-name.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import { ensureBridge } from '../../sandbox/bridge.ts';
import { attach } from '../../sandbox/endpoint.ts';
import { bindToLink } from '../../sys/link-socket.ts';
import { Netns } from '../../sys/netns.ts';
import { type RunningProcess, start } from '../../sys/process.ts';
import { percentile } from '../distribution.ts';
import { benchAddress, benchName } from './bench-resolver.ts';

export const DNS_SHAPES = ['tulle', 'dnsmasq'] as const;
export type DnsShape = (typeof DNS_SHAPES)[number];

export interface DnsBenchResult {
  readonly shape: DnsShape;
  readonly names: number;
  readonly queries: number;
  /** Microseconds from a question to its answer, one at a time. */
  readonly us: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Questions a second, 32 at a time. */
  readonly perSecond: number;
}

export interface DnsBenchOptions {
  readonly shapes: readonly DnsShape[];
  readonly names: number;
  readonly queries: number;
  readonly signal: AbortSignal;
}

const BRIDGE = 'tb0';
const SERVERS = { tulle: '10.9.0.1', dnsmasq: '10.9.0.3' } as const satisfies Record<DnsShape, string>;
const MTU = 1450;
const ROUNDS = 10;
const AT_ONCE = 32;
/**
 * Milliseconds until a question counts as lost: on one bridge nothing loses it, but a server may wait for a processor. Until a
 * server is there it is asked more often; and until when it must be.
 */
const LOST = 30_000;
const LOST_BEFORE = 500;
const PATIENCE = 60_000;

/** @throws Error when a server does not start, or a question has no answer */
export async function measureDns(options: DnsBenchOptions): Promise<readonly DnsBenchResult[]> {
  const { shapes, names, queries, signal } = options;
  await using stack = new AsyncDisposableStack();
  const [host, container] = [stack.use(Netns.anonymous()), stack.use(Netns.anonymous())];
  const [route, inner] = [host, container].map(netns => stack.use(connectRoute({ netns })));
  if (route === undefined || inner === undefined) throw new Error('no connection to the kernel');
  const addresses = Object.values(SERVERS).map(ip => parseInterfaceAddress(`${ip}/16`));
  await ensureBridge(route, { name: BRIDGE, mac: Mac.parse('02:00:00:00:00:01'), addresses, mtu: MTU });
  await attach(
    route,
    { netns: container, route: inner },
    {
      hostLink: 'p1',
      bridge: BRIDGE,
      sandboxLink: 'eth0',
      addresses: [parseInterfaceAddress('10.9.0.2/16')],
      routes: [],
      mtu: MTU,
    },
  );
  const directory = await mkdtemp(join(tmpdir(), 'tulle-bench-dns-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const clients = new Map<DnsShape, DnsClient>();
  for (const shape of shapes) {
    const server = await startServer(shape, { host, directory, names });
    stack.defer(async () => {
      server.killAll();
      await server.exited;
    });
    clients.set(shape, stack.use(await DnsClient.open(container, SERVERS[shape])));
  }
  for (const client of clients.values()) await client.untilReady(signal);
  const times = new Map(shapes.map(shape => [shape, [] as number[]]));
  const rates = new Map(shapes.map(shape => [shape, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [shape, client] of clients) {
      signal.throwIfAborted();
      const ask = () => client.ask(Math.floor(Math.random() * names));
      for (let count = 0; count < queries / ROUNDS; count++) times.get(shape)?.push(await ask());
      const started = performance.now();
      const worker = async () => {
        for (let count = 0; count < queries / ROUNDS / AT_ONCE; count++) await ask();
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      rates.get(shape)?.push((queries / ROUNDS / (performance.now() - started)) * 1000);
    }
  }
  return shapes.map(shape => {
    const sorted = (times.get(shape) ?? []).toSorted((a, b) => a - b);
    const us = (share: number) => Math.round(percentile(sorted, share) * 1000);
    const perSecond = Math.round(
      percentile(
        (rates.get(shape) ?? []).toSorted((a, b) => a - b),
        0.5,
      ),
    );
    return { shape, names, queries, us: { p50: us(0.5), p99: us(0.99), max: us(1) }, perSecond };
  });
}

async function startServer(
  shape: DnsShape,
  { host, directory, names }: { readonly host: Netns; readonly directory: string; readonly names: number },
): Promise<RunningProcess> {
  const namespaces = { net: `/proc/${process.pid}/fd/${host.fd}` };
  if (shape === 'tulle') {
    const file = import.meta.url.endsWith('.ts') ? './bench-resolver.ts' : './bench-resolver.js';
    const script = fileURLToPath(new URL(file, import.meta.url));
    return start(process.execPath, [script, BRIDGE, SERVERS.tulle, `${names}`], { namespaces });
  }
  const hosts = join(directory, 'hosts');
  const lines = Array.from({ length: names }, (_, at) => `${benchAddress(at)} ${benchName(at)}\n`);
  await writeFile(hosts, lines.join(''));
  const flags = ['--keep-in-foreground', '--no-resolv', '--no-hosts', '--conf-file=/dev/null', '--user=root'];
  const place = [`--listen-address=${SERVERS.dnsmasq}`, '--bind-interfaces', '--pid-file=', '--no-daemon'];
  return start('dnsmasq', [...flags, ...place, `--addn-hosts=${hosts}`], { namespaces });
}

/** Asks one server from a container, any number of questions at a time. */
class DnsClient implements Disposable {
  readonly #socket: Socket;
  readonly #server: string;
  readonly #waiting = new Map<number, (isAnswered: boolean) => void>();
  #id = 0;

  private constructor(socket: Socket, server: string) {
    this.#socket = socket;
    this.#server = server;
    socket.on('message', bytes => this.#waiting.get(bytes.readUInt16BE(0))?.((bytes[7] ?? 0) > 0));
  }

  static async open(netns: Netns, server: string): Promise<DnsClient> {
    const fd = netns.run(() => bindToLink('udp', Ip.parse('10.9.0.2'), 0, 'eth0'));
    const socket = createSocket('udp4');
    await new Promise<void>(resolve => socket.bind({ fd, exclusive: true }, resolve));
    return new DnsClient(socket, server);
  }

  /** @returns milliseconds. @throws Error when there is no answer, or it has no address */
  async ask(number: number, patience = LOST): Promise<number> {
    const id = (this.#id = (this.#id + 1) & 0xffff);
    const started = performance.now();
    const isAnswered = await new Promise<boolean>(resolve => {
      const timer = setTimeout(resolve, patience, false);
      this.#waiting.set(id, isWhole => {
        clearTimeout(timer);
        resolve(isWhole);
      });
      this.#socket.send(questionFor(id, benchName(number)), DNS_PORT, this.#server);
    });
    this.#waiting.delete(id);
    if (!isAnswered) throw new Error(`${this.#server} has no answer for ${benchName(number)}`);
    return performance.now() - started;
  }

  async untilReady(signal: AbortSignal): Promise<void> {
    const end = performance.now() + PATIENCE;
    for (;;) {
      signal.throwIfAborted();
      try {
        await this.ask(0, LOST_BEFORE);
        return;
      } catch (error) {
        if (performance.now() > end) throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

const questionFor = (id: number, name: string): Uint8Array =>
  written(writer => {
    writer.u16be(id).u16be(0x0100).u16be(1).u32be(0).u16be(0);
    writeName(writer, name);
    writer.u16be(TYPE.A).u16be(CLASS.IN);
  });
