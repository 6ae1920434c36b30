/**
 * `bench converge`: from a lease in the store to a route in every kernel.
 *
 *     burst  as many leases as there are hosts, written at the same moment: a cluster comes up
 *     one    one more lease at a time, each when the one before is everywhere
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { PROTOCOL } from '../../dataplane/tables/entry.ts';
import { formatLeaseKey } from '../../subnet/lease/key.ts';
import { usageOf } from '../../sys/usage.ts';
import type { Distribution } from '../distribution.ts';
import type { BenchHost } from '../program/bench-host.ts';
import { AGENT, AgentProcess, type HostProgram } from './agent.ts';
import { LeaseWriter, leaseOf, type SyntheticLease } from './cluster.ts';
import { flannelProgram } from './flannel.ts';
import { InProcessHost } from './host.ts';
import { followRoutes } from './routes.ts';
import { type HostStep, STEPS, type Step, Trace } from './trace.ts';

export type ConvergeOperation = 'burst' | 'one';

/** One measurement; the unit of `--json`. Milliseconds since the lease was sent to the store. */
export interface ConvergeRow extends Distribution {
  readonly op: ConvergeOperation;
  /** Hosts inside the process of the measurement. */
  readonly hosts: number;
  /** Agents beside them, and as many processes of flannel's procedure. */
  readonly agents: number;
  /** Which of them the row is about. */
  readonly of: 'hosts' | 'agents' | 'flannel' | 'all';
  readonly step: Step;
  /** Of processes, of `one`: milliseconds of processor time for each lease, with what is done for it later. */
  readonly cpuMs?: number;
}

export interface ConvergeOptions {
  /** Of a store without a network. */
  readonly endpoint: string;
  readonly hosts: number;
  readonly agents: number;
  /** Path of a real flanneld, to run instead of its procedure. */
  readonly flanneld?: string;
  /** Leases of `one`. */
  readonly leases: number;
  readonly onProgress: (what: string) => void;
  readonly signal: AbortSignal;
}

/** Milliseconds in which leases must be everywhere. */
const PATIENCE = 120_000;
/** Milliseconds after the last lease in which a process does what it has put off for later. */
const AFTERWARDS = 3_000;

export async function measureConvergence(options: ConvergeOptions): Promise<ConvergeRow[]> {
  const { endpoint, hosts, agents, flanneld, leases, onProgress, signal } = options;
  await using writer = await LeaseWriter.open(endpoint);
  onProgress(`making ${hosts} hosts, ${agents} agents and as many of flannel's procedure`);
  await using cluster = new Cluster(signal);
  for (let number = 0; number < agents; number++) await cluster.addProcess('agents', endpoint, AGENT);
  const flannel = flannelProgram(flanneld);
  for (let number = 0; number < agents; number++) await cluster.addProcess('flannel', endpoint, flannel);
  for (let number = 0; number < hosts; number++) await cluster.addHost(endpoint);
  // A host that has the route of this one follows the store.
  await cluster.carry(writer, [leaseOf(0)], 'together');

  const numbered = (first: number, count: number) =>
    Array.from({ length: count }, (_, index) => leaseOf(first + index));
  const rows: ConvergeRow[] = [];
  const measure = async (op: ConvergeOperation, batch: readonly SyntheticLease[]) => {
    onProgress(`${op}: ${batch.length} leases to all of them`);
    const before = cluster.processorTimes();
    const trace = await cluster.carry(writer, batch, op === 'burst' ? 'together' : 'in turn');
    if (op === 'one') await sleep(AFTERWARDS, undefined, { signal });
    const after = cluster.processorTimes();
    for (const step of STEPS) {
      for (const [of, names] of cluster.groups(step)) {
        const distribution = trace.distribution(step, names);
        if (distribution === undefined) continue;
        const cpu = ((after.get(of) ?? 0) - (before.get(of) ?? 0)) / agents / batch.length;
        const cost = op === 'one' && after.has(of) ? { cpuMs: Math.round(cpu * 100) / 100 } : {};
        rows.push({ op, hosts, agents, of, step, ...distribution, ...cost });
      }
    }
  };
  await measure('burst', numbered(1, hosts + agents));
  await measure('one', numbered(1 + hosts + agents, leases));
  return rows;
}

type ProcessGroup = Extract<ConvergeRow['of'], 'agents' | 'flannel'>;

/** The hosts and processes of one measurement. */
class Cluster implements AsyncDisposable {
  readonly #signal: AbortSignal;
  readonly #resources = new AsyncDisposableStack();
  /** Aborts when something has failed, with the failure, or when everything is over. */
  readonly #end = new AbortController();
  readonly #watching: Promise<void>[] = [];
  readonly #hosts = new Set<string>();
  readonly #processes: Readonly<Record<ProcessGroup, Map<string, AgentProcess>>> = {
    agents: new Map(),
    flannel: new Map(),
  };
  #trace = new Trace(new Map());

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async addHost(endpoint: string): Promise<void> {
    const name = `host ${this.#hosts.size + 1}`;
    const onStep = (...[step, key]: Parameters<Parameters<typeof InProcessHost.open>[1]>) =>
      this.#trace.reached(step, key, name);
    const host = this.#resources.use(await InProcessHost.open(endpoint, onStep));
    host.running.catch((error: unknown) => this.#end.abort(error));
    this.#hosts.add(name);
    this.#watch(name, host.benchHost, PROTOCOL);
  }

  async addProcess(group: ProcessGroup, endpoint: string, what: HostProgram): Promise<void> {
    const { agents, flannel } = this.#processes;
    const members = this.#processes[group];
    const name = `${what.name} ${members.size + 1}`;
    const others = agents.size;
    const process = this.#resources.use(await AgentProcess.start(endpoint, agents.size + flannel.size, what));
    await process.ready(others, this.#signal);
    members.set(name, process);
    this.#watch(name, process.benchHost, process.protocol);
  }

  /** Milliseconds of processor time so far, of all processes of a group. */
  processorTimes(): ReadonlyMap<ConvergeRow['of'], number> {
    return new Map(
      Object.entries(this.#processes).map(([group, members]) => [
        group as ProcessGroup,
        [...members.values()].reduce((sum, { pid }) => sum + usageOf(pid).cpu, 0),
      ]),
    );
  }

  /** Those that a row of this step is about. */
  groups(step: Step): (readonly [ConvergeRow['of'], { has(host: string): boolean } | undefined])[] {
    if (step === 'committed' || step === 'everywhere') return [['all', undefined]];
    return [
      ['hosts', this.#hosts],
      ['agents', this.#processes.agents],
      ['flannel', this.#processes.flannel],
    ];
  }

  /** Writes the leases, and waits until the kernels of all have their routes. */
  async carry(
    writer: LeaseWriter,
    leases: readonly SyntheticLease[],
    how: 'together' | 'in turn',
  ): Promise<Trace> {
    const awaited = new Map<string, readonly HostStep[]>();
    for (const name of this.#hosts) awaited.set(name, ['applied', 'announced']);
    // A process is seen from outside only.
    for (const members of Object.values(this.#processes)) {
      for (const name of members.keys()) awaited.set(name, ['announced']);
    }
    const trace = new Trace(awaited);
    this.#trace = trace;
    const write = async (lease: SyntheticLease) => {
      trace.sent(lease.key);
      await writer.write(lease);
      trace.committed(lease.key);
    };
    if (how === 'together') await Promise.all([...leases.map(write), this.#arrival(trace)]);
    else for (const lease of leases) await Promise.all([write(lease), this.#arrival(trace)]);
    return trace;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#watching);
    await this.#resources.disposeAsync();
  }

  /** Resolves when what was sent has arrived; to be called after it was. */
  #arrival(trace: Trace): Promise<void> {
    return trace.complete(AbortSignal.any([this.#signal, this.#end.signal, AbortSignal.timeout(PATIENCE)]));
  }

  #watch(name: string, { rtnetlink }: BenchHost, protocol: number): void {
    const onRoute = (subnet: SyntheticLease['subnet']) =>
      this.#trace.reached('announced', formatLeaseKey({ ipv4: subnet }), name);
    const watching = followRoutes(rtnetlink, protocol, onRoute, this.#end.signal);
    this.#watching.push(watching.catch((error: unknown) => this.#end.abort(error)));
  }
}
