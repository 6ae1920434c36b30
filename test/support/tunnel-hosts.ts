/**
 * Hosts on one wire with the addresses of the walkthrough, for tests of `tulle tunnel`: vm1 172.31.0.106 and vm2
 * 172.31.0.107. Their agents find no store, and tunnels must not need one.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { AgentClient } from '../../src/api/client.ts';
import { DEFAULT_SOCKET } from '../../src/api/messages.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import type { LabTopology } from '../../src/lab/topology/topology.ts';
import { endProcess, type ProcessId } from '../../src/sys/pidfd.ts';
import type { RunOptions, RunResult } from '../../src/sys/process.ts';
import { deadline, eventually } from './eventually.ts';
import { labName } from './lab.ts';

const PATIENCE = 60_000;

const TWO_HOSTS: LabTopology = {
  segments: { wire: { subnet: ['172.31.0.0/24', 'fd31::/64'] } },
  hosts: {
    vm1: { links: [{ segment: 'wire', address: ['172.31.0.106', 'fd31::106'] }] },
    vm2: { links: [{ segment: 'wire', address: ['172.31.0.107', 'fd31::107'] }] },
  },
};

export class TunnelHosts implements AsyncDisposable {
  readonly #lab: Lab;

  private constructor(lab: Lab) {
    this.#lab = lab;
  }

  static async create(topology = TWO_HOSTS): Promise<TunnelHosts> {
    const plan = planTopology(topology, { name: labName() });
    return new TunnelHosts(await createLab(plan, { signal: deadline('a lab is made', 90_000) }));
  }

  host(name: string): TunnelHost {
    const record = this.#lab.record.hosts.find(host => host.name === name);
    assert.ok(record !== undefined, name);
    return new TunnelHost(new LabHost(record.name, record.anchor));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

export class TunnelHost {
  readonly lab: LabHost;
  #agent: ProcessId | undefined;

  constructor(lab: LabHost) {
    this.lab = lab;
  }

  /** Runs a line of words without quotes. @throws Error when it fails */
  async run(line: string, options: RunOptions = {}): Promise<string> {
    const [program = '', ...args] = line.split(' ');
    const { stdout } = await this.lab.run(program, args, { timeout: PATIENCE, ...options });
    return stdout;
  }

  /** The same with whatever exit status. */
  attempt(line: string): Promise<RunResult> {
    const [program = '', ...args] = line.split(' ');
    return this.lab.run(program, args, { timeout: PATIENCE, anyStatus: true });
  }

  tulle(line: string): Promise<RunResult> {
    return this.lab.run(TULLE, line.split(' '), { timeout: PATIENCE, anyStatus: true });
  }

  /** Fails with what the command has printed. */
  async tunnel(line: string): Promise<string> {
    const { status, stdout, stderr } = await this.tulle(`tunnel ${line}`);
    assert.equal(status, 0, `tulle tunnel ${line}: ${stdout}${stderr}`);
    return stdout;
  }

  /** What a command refuses. */
  async refusal(line: string): Promise<string> {
    const { status, stdout, stderr } = await this.tulle(`tunnel ${line}`);
    assert.notEqual(status, 0, `tulle tunnel ${line} was not refused: ${stdout}`);
    return stderr;
  }

  async startAgent(...flags: string[]): Promise<void> {
    const args = ['agent', '--etcd-endpoints=http://127.0.0.1:2379', ...flags];
    this.#agent = await this.lab.start(TULLE, args, 'agent');
    const client = new AgentClient({ socketPath: this.lab.path(DEFAULT_SOCKET) });
    await eventually(`the agent of ${this.lab.name} answers`, () => answer(client));
  }

  async killAgent(): Promise<void> {
    assert.ok(this.#agent !== undefined);
    await endProcess(this.#agent, 0);
    this.#agent = undefined;
  }

  has(path: string): boolean {
    return existsSync(this.lab.path(path));
  }

  /** Whether so many bytes of an echo, headers of IP and ICMP included, arrive in one piece. */
  async carries(size: number, ip: string, netns?: string): Promise<boolean> {
    const inside = netns === undefined ? '' : `ip netns exec ${netns} `;
    const { status } = await this.attempt(`${inside}ping -n -c 1 -W 10 -M do -s ${size - 28} ${ip}`);
    return status === 0;
  }

  /** Everything of this host that a tunnel could leave behind, once the kernel has made all of what was set up. */
  async state(): Promise<string> {
    await eventually(`the links of ${this.lab.name} are ready`, () => this.#isReady());
    const lines = ['ip -o link', 'ip -o address', 'ip route', 'ip -6 route', 'bridge fdb'];
    const texts = await Promise.all(lines.map(line => this.run(line)));
    // A bridge has no state before its first frame.
    return texts.join('\n').replace(/ state \w+ /g, ' ');
  }

  /** Each link that is up has carrier and an address of its own, which come a moment later. */
  async #isReady(): Promise<boolean> {
    const links = (await this.run('ip -o link show up')).trim().split('\n');
    const addresses = await this.run('ip -o -6 address');
    const hasAddress = (line: string) => {
      const name = /^\d+: ([^:@]+)/.exec(line)?.[1] ?? '';
      return name === 'lo' || new RegExp(`: ${name} +inet6 fe80:`).test(addresses);
    };
    return (
      links.every(line => line.includes('LOWER_UP') && hasAddress(line)) && !addresses.includes('tentative')
    );
  }
}

async function answer(client: AgentClient): Promise<true | undefined> {
  try {
    await client.status();
    return true;
  } catch {
    return undefined;
  }
}
