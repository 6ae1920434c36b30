/**
 * Two hosts with a forwarder each, made of network namespaces without names, which go when the test ends:
 *
 *     host a: 192.0.2.1, 2001:db8::1 ---- veth ---- host b: 192.0.2.2, 2001:db8::2
 *     flannel0 10.77.1.0, fd77:1::             flannel0 10.77.2.0, fd77:2::
 *
 * Whatever is wanted of a forwarder can be stated again; the kernel's side is set up when its device is there.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { messageOf } from '../../src/base/errors.ts';
import { Ip } from '../../src/base/ip.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { ForwarderTable } from '../../src/forwarder/control/messages.ts';
import { ManagedForwarder, stopForwarder } from '../../src/forwarder/managed-forwarder.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { Netns } from '../../src/sys/netns.ts';
import { type RunResult, run } from '../../src/sys/process.ts';
import { deadline } from './eventually.ts';

export type HostName = 'a' | 'b';
const NUMBER = { a: 1, b: 2 } as const;

export const underlayOf = (name: HostName) => ({
  ipv4: Ip.parse(`192.0.2.${NUMBER[name]}`),
  ipv6: Ip.parse(`2001:db8::${NUMBER[name]}`),
});
export const overlayOf = (name: HostName) => ({
  ipv4: `10.77.${NUMBER[name]}.0`,
  ipv6: `fd77:${NUMBER[name]}::`,
});
export const subnetsOf = (name: HostName) => [
  Prefix.parse(`${overlayOf(name).ipv4}/24`),
  Prefix.parse(`${overlayOf(name).ipv6}/64`),
];

export const PORT = 8285;
export const MTU = 1452;

export class ForwarderHost {
  readonly name: HostName;
  readonly netns = Netns.anonymous();
  readonly directory: string;
  forwarder: ManagedForwarder;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(name: HostName, directory: string) {
    this.name = name;
    this.directory = join(directory, name);
    mkdirSync(this.directory);
    this.forwarder = this.#manager();
  }

  get path(): string {
    return `/proc/${process.pid}/fd/${this.netns.fd}`;
  }

  get control(): string {
    return join(this.directory, `${this.name}.sock`);
  }

  get log(): string {
    return readFileSync(join(this.directory, `${this.name}.log`), 'utf8');
  }

  /** Runs a program in the host; any exit status is a result. */
  run(program: string, ...args: readonly string[]): Promise<RunResult> {
    return run(program, args, { namespaces: { net: this.path }, anyStatus: true, timeout: 60_000 });
  }

  /** @throws Error with what it said, when the program fails. */
  async ip(...args: readonly string[]): Promise<void> {
    const { status, stderr } = await this.run('ip', ...args);
    if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
  }

  /** Starts to manage the forwarder, as an agent does; `leave` is that agent's end. */
  manage(): void {
    this.#stop = new AbortController();
    this.forwarder = this.#manager();
    this.#running = this.forwarder.run(this.#stop.signal);
  }

  async leave(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** The forwarder has the stated table. */
  async ready(): Promise<number> {
    const { state } = this.forwarder;
    const late = deadline(`the forwarder of ${this.name} has its table`);
    try {
      return (await state.until(({ pid }) => pid !== undefined, late)).pid ?? 0;
    } catch (error) {
      throw new Error(`${messageOf(error)} (${state.value.lastError ?? 'no error'}): ${this.log}`, {
        cause: error,
      });
    }
  }

  async remove(): Promise<void> {
    await this.leave();
    await stopForwarder(this.control);
    this.netns[Symbol.dispose]();
  }

  #manager(): ManagedForwarder {
    const { ipv4, ipv6 } = underlayOf(this.name);
    return new ManagedForwarder(
      {
        device: 'flannel0',
        listen: [
          { ip: ipv4, port: PORT },
          { ip: ipv6, port: PORT },
        ],
        mtu: MTU,
        control: this.control,
        program: TULLE,
        logFile: join(this.directory, `${this.name}.log`),
        namespaces: { net: this.path },
      },
      systemClock,
      silentLogger,
    );
  }
}

/** Own addresses of one host, and the subnets of the other behind its address of this family. */
export function tableOf(
  name: HostName,
  over: 'ipv4' | 'ipv6' = 'ipv4',
  more: Partial<ForwarderTable> = {},
): ForwarderTable {
  const other = name === 'a' ? 'b' : 'a';
  const { ipv4, ipv6 } = overlayOf(name);
  return {
    own: [Ip.parse(ipv4), Ip.parse(ipv6)],
    routes: subnetsOf(other).map(subnet => ({ subnet, remote: underlayOf(other)[over], port: PORT })),
    ...more,
  };
}

export class ForwarderPair implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'tt-fw-'));
  readonly a = new ForwarderHost('a', this.#directory);
  readonly b = new ForwarderHost('b', this.#directory);

  /** Both hosts, their forwarders with the tables of `tableOf`, and the kernel's routes to them. */
  static async open(): Promise<ForwarderPair> {
    const pair = new ForwarderPair();
    try {
      await pair.#connect();
      for (const host of pair.hosts) {
        host.forwarder.setTable(tableOf(host.name));
        host.manage();
        host.forwarder.setTable(tableOf(host.name));
      }
      for (const host of pair.hosts) {
        await host.ready();
        const { ipv4, ipv6 } = overlayOf(host.name);
        await host.ip('addr', 'add', `${ipv4}/32`, 'dev', 'flannel0');
        await host.ip('addr', 'add', `${ipv6}/128`, 'dev', 'flannel0', 'nodad');
        await host.ip('link', 'set', 'flannel0', 'mtu', `${MTU}`, 'up');
        await host.ip('route', 'add', '10.77.0.0/16', 'dev', 'flannel0', 'src', ipv4);
        await host.ip('route', 'add', 'fd77::/16', 'dev', 'flannel0', 'src', ipv6);
      }
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  get hosts(): readonly ForwarderHost[] {
    return [this.a, this.b];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.hosts.map(host => host.remove()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #connect(): Promise<void> {
    await this.a.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.b.path);
    for (const host of this.hosts) {
      const { ipv4, ipv6 } = underlayOf(host.name);
      await host.ip('addr', 'add', `${ipv4}/24`, 'dev', 'eth0');
      await host.ip('addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
      await host.ip('link', 'set', 'eth0', 'up');
      await host.ip('link', 'set', 'lo', 'up');
    }
  }
}
