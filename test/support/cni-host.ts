/** Two hosts of a lab whose containers come from runtimes of CNI, and a runtime of our own on each. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { AgentClient } from '../../src/api/client.ts';
import { DEFAULT_SOCKET } from '../../src/api/messages.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { agentArguments } from '../../src/lab/service/agent.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { CniRuntime } from './cni-runtime.ts';
import { eventually } from './eventually.ts';
import { agentOf, dumpHost, lab, labName } from './lab.ts';

/** Of Debian's containernetworking-plugins. */
export const DEBIAN_PLUGINS = '/usr/lib/cni';
const PROGRAM = join(import.meta.dirname, '../../bin/tulle-cni');
const PATIENCE = 90_000;

export class CniHost {
  readonly name: string;
  readonly host: LabHost;
  readonly runtime: CniRuntime;
  readonly #lab: string;

  constructor(labOf: string, host: LabHost, plugins: string) {
    this.name = host.name;
    this.#lab = labOf;
    this.host = host;
    this.runtime = new CniRuntime({
      path: [plugins, DEBIAN_PLUGINS],
      run: (program, args, options) => host.run(program, args, options),
    });
  }

  /** Runs a line of words without quotes. @throws Error when it fails */
  async run(line: string): Promise<string> {
    const [program = '', ...args] = line.split(' ');
    return (await this.host.run(program, args, { timeout: PATIENCE })).stdout;
  }

  async addNetns(name: string): Promise<string> {
    await this.run(`ip netns add ${name}`);
    return `/run/netns/${name}`;
  }

  async pings(netns: string, ip: string): Promise<boolean> {
    const words = ['netns', 'exec', netns, 'ping', '-n', '-c', '1', '-W', '5', ip];
    return (await this.host.run('ip', words, { timeout: PATIENCE, anyStatus: true })).status === 0;
  }

  /** What is left of attachments: links, names of the record, files of given addresses, published ports. */
  async leftovers(): Promise<string[]> {
    const links = [...(await this.run('ip -o link')).matchAll(/^\d+: (t[ev][0-9a-f]{12})[@:]/gm)];
    const record = await this.host.run('cat', ['/var/lib/tulle/attachments.json'], { anyStatus: true });
    const lines = record.stdout
      .split('\n')
      .filter(line => line.startsWith('{"id"') || line.startsWith('{"gone"'));
    const live = new Set<string>();
    for (const line of lines) {
      const { id, gone } = JSON.parse(line) as { readonly id?: string; readonly gone?: string };
      if (id !== undefined) live.add(id);
      if (gone !== undefined) live.delete(gone);
    }
    const given = await this.host.run('ls', ['/var/lib/tulle/cni'], { anyStatus: true });
    return [...links.map(([, name = '']) => name), ...live, ...given.stdout.split('\n').filter(Boolean)];
  }

  async killAgent(): Promise<void> {
    await endProcess((await agentOf(this.host)).id, 0);
  }

  /** Returns when it answers and is ready. */
  async startAgent(): Promise<void> {
    await this.host.start(TULLE, agentArguments(requireRecord(this.#lab)), 'agent');
    await this.ready();
  }

  async ready(): Promise<void> {
    const client = new AgentClient({ socketPath: this.host.path(DEFAULT_SOCKET) });
    await eventually(`${this.name} is ready`, async () => (await client.status()).agent.ready);
  }
}

/** Everything goes with the test. @param isBroken whether what the hosts have is printed then */
export async function cniHosts(
  t: TestContext,
  isBroken: () => boolean,
): Promise<readonly [CniHost, CniHost]> {
  const name = labName();
  const plugins = mkdtempSync(join(tmpdir(), 'tt-cni-bin-'));
  const hosts: CniHost[] = [];
  t.after(async () => {
    if (isBroken()) for (const { host } of hosts) process.stderr.write(`${await dumpHost(host)}\n`);
    rmSync(plugins, { recursive: true });
    await lab(['down', '--name', name]);
  });
  for (const type of ['tulle', 'tulle-ipam']) symlinkSync(PROGRAM, join(plugins, type));
  const up = await lab(['up', '--name', name, '--hosts', '2', '--containers', '0', '--store', 'tulle']);
  assert.equal(up.status, 0, up.stderr);
  for (const { name: host, anchor } of requireRecord(name).hosts)
    hosts.push(new CniHost(name, new LabHost(host, anchor), plugins));
  const [one, two] = hosts;
  assert.ok(one && two);
  // The lab's own bridge has the address that a bridge of the overlay needs.
  await Promise.all(hosts.map(host => host.run('ip link delete docker0')));
  return [one, two];
}
