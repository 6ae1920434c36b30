/** Three hosts for L2 networks: containers on their bridges, and what crosses the underlay. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { namespacesOf } from '../../src/lab/host/anchor.ts';
import type { RunResult } from '../../src/sys/process.ts';
import { type RunningProcess, start } from '../../src/sys/process.ts';
import { eventually, within } from '../support/eventually.ts';
import type { FaultHost } from './fault-host.ts';

/** Of the underlay, at which nobody listens. */
const MARK_PORT = 9;

/** A container: a network namespace on a bridge of an L2 network. */
export class Container {
  readonly host: FaultHost;
  readonly name: string;
  readonly ip: string;

  constructor(host: FaultHost, name: string, ip: string) {
    this.host = host;
    this.name = name;
    this.ip = ip;
  }

  /** @param ip with the length of the subnet's prefix */
  static async attach(host: FaultHost, name: string, bridge: string, ip: string): Promise<Container> {
    for (const command of [
      `ip netns add ${name}`,
      `ip link add v-${name} mtu 1450 type veth peer name eth0 mtu 1450 netns ${name}`,
      `ip -n ${name} link set lo up`,
      `ip -n ${name} address add ${ip} dev eth0`,
      `ip -n ${name} link set eth0 up`,
      `ip link set v-${name} master ${bridge} up`,
    ]) {
      await host.shell(command);
    }
    return new Container(host, name, ip.replace(/\/.*/, ''));
  }

  async detach(): Promise<void> {
    await this.host.shell(`ip netns del ${this.name}`);
  }

  get netns(): string {
    return this.host.host.path(`/run/netns/${this.name}`);
  }

  async mac(): Promise<string> {
    const [link] = await this.host.json<{ address: string }>(`ip -n ${this.name} -json link show eth0`);
    return link?.address ?? assert.fail(`${this.name} has no eth0`);
  }

  /** Whether the last of these echoes is answered; the first ones may look for the address. */
  async pings(target: string, ...flags: string[]): Promise<boolean> {
    const { status } = await this.#ping(['-c', '2', '-W', '3', ...flags, target]);
    return status === 0;
  }

  /** Echoes whether they are answered or not. */
  async calls(target: string, ...flags: string[]): Promise<void> {
    await this.#ping(['-c', '3', '-W', '0.2', ...flags, target]);
  }

  #ping(args: readonly string[]): Promise<RunResult> {
    const words = ['netns', 'exec', this.name, 'ping', '-n', '-i', '0.2', ...args];
    return this.host.host.run('ip', words, { anyStatus: true });
  }

  /** Asks for an address with a frame to all, whether it knew it or not. */
  async asksAnew(target: string): Promise<void> {
    const family = target.includes(':') ? '-6' : '-4';
    await this.host.shell(`ip -n ${this.name} ${family} neigh flush dev eth0`);
    await this.calls(target);
  }

  async neighborsOf(ip: string): Promise<string | undefined> {
    const [entry] = await this.host.json<{ lladdr?: string }>(`ip -n ${this.name} -json neigh show ${ip}`);
    return entry?.lladdr;
  }
}

/** A frame of a VXLAN packet that a host has received. */
export interface WireFrame {
  readonly vni: number;
  /** The inner frame, as tcpdump prints it. */
  readonly text: string;
}

/** Listens to the tunnel packets that one host receives from another over the underlay. */
export class Wire implements AsyncDisposable {
  readonly #host: FaultHost;
  readonly #from: FaultHost;
  readonly #process: RunningProcess;
  readonly #reading: Promise<void>;
  #text = '';
  #marks = 0;

  private constructor(host: FaultHost, from: FaultHost, process: RunningProcess) {
    this.#host = host;
    this.#from = from;
    this.#process = process;
    this.#reading = this.#read();
  }

  static async listen(host: FaultHost, from: FaultHost): Promise<Wire> {
    const filter = `src host ${from.address} and dst host ${host.address} and (udp dst port 4789 or udp dst port ${MARK_PORT})`;
    const args = ['-l', '-nn', '-e', '--immediate-mode', '-i', 'eth0', ...filter.split(' ')];
    const namespaces = namespacesOf(host.host.anchor);
    const wire = new Wire(host, from, await start('tcpdump', args, { pipeOutput: true, namespaces }));
    await eventually(`tcpdump of ${host.name} listens`, async () => wire.#isMarkSeen());
    return wire;
  }

  /** What has come since it began to listen, up to now. */
  async frames(): Promise<WireFrame[]> {
    const before = this.#marks;
    await eventually(`${this.#host.name} has received everything`, async () => this.#isMarkSeen(before));
    return this.#text.split(/^(?=\d\d:\d\d:\d\d\.)/m).flatMap(packet => {
      const [, vni, text] = /\bvni (\d+)\n\s*([^]*)/.exec(packet) ?? [];
      return text === undefined ? [] : [{ vni: Number(vni), text: text.trim() }];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await within('tcpdump ends', this.#process.exited);
    await within('the output of tcpdump ends', this.#reading);
  }

  /** Packets of one link arrive in order, so what was sent before a mark was received before it. */
  async #isMarkSeen(after = 0): Promise<boolean> {
    await this.#from.host.run('bash', ['-c', `echo mark > /dev/udp/${this.#host.address}/${MARK_PORT}`]);
    return this.#marks > after;
  }

  async #read(): Promise<void> {
    const { stdout } = this.#process;
    assert.ok(stdout);
    const closed = once(stdout, 'close');
    for await (const line of createInterface(stdout)) {
      this.#text += `${line}\n`;
      if (line.includes(`.${MARK_PORT}: UDP`)) this.#marks++;
    }
    await closed;
  }
}
