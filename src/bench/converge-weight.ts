/** What one agent weighs that is started on a network with this many peers: time, processor, memory. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Usage, usageOf } from '../sys/usage.ts';
import { AgentProcess } from './converge-agent.ts';
import { Author } from './converge-cluster.ts';

/** Milliseconds. After the last route the agent writes its peers down and gives memory back; V8 then looks, too. */
const SETTLE = 25_000;
/** How long it is watched doing nothing. */
const IDLE = 30_000;

/** One measurement; the unit of `--json`. */
export interface WeightRow {
  readonly op: 'weight';
  readonly peers: number;
  /** Milliseconds from the start of the process until the kernel has all routes. */
  readonly startMs: number;
  /** Milliseconds of processor time, from the start of the process until it has nothing left to do. */
  readonly startCpuMs: number;
  /** Megabytes (1,000,000 bytes) in memory afterwards. */
  readonly residentMb: number;
  /** Of them, those that no other process could share. */
  readonly anonymousMb: number;
  /** The most there ever was in memory. */
  readonly peakMb: number;
  /** Milliseconds of processor time per minute without any change. */
  readonly idleCpuMsPerMinute: number;
}

export interface WeighOptions {
  /** Of a store without a network. */
  readonly endpoint: string;
  /** Numbers of peers, ascending. */
  readonly sizes: readonly number[];
  readonly onProgress: (what: string) => void;
  readonly signal: AbortSignal;
}

/** Starts an agent for each size, one after the other. */
export async function weighAgents({
  endpoint,
  sizes,
  onProgress,
  signal,
}: WeighOptions): Promise<WeightRow[]> {
  await using author = await Author.open(endpoint);
  onProgress('an agent, once, for its compiled code to be kept');
  await startOnce(endpoint, signal);
  const rows: WeightRow[] = [];
  let written = 0;
  for (const peers of sizes) {
    onProgress(`an agent with ${peers} peers`);
    await author.fill(written, peers);
    written = peers;
    rows.push(await weigh(endpoint, peers, signal));
  }
  return rows;
}

async function startOnce(endpoint: string, signal: AbortSignal): Promise<void> {
  await using agent = await AgentProcess.start(endpoint);
  await agent.ready(0, signal);
}

async function weigh(endpoint: string, peers: number, signal: AbortSignal): Promise<WeightRow> {
  await using agent = await AgentProcess.start(endpoint);
  await agent.ready(peers, signal);
  const startMs = performance.now() - agent.started;
  await sleep(SETTLE, undefined, { signal });
  const settled = usageOf(agent.process.pid);
  await sleep(IDLE, undefined, { signal });
  return rowOf(peers, startMs, settled, usageOf(agent.process.pid));
}

function rowOf(peers: number, startMs: number, settled: Usage, idle: Usage): WeightRow {
  const megabytes = (bytes: number) => Math.round(bytes / 1e5) / 10;
  return {
    op: 'weight',
    peers,
    startMs: Math.round(startMs),
    startCpuMs: Math.round(settled.cpu),
    residentMb: megabytes(idle.resident),
    anonymousMb: megabytes(idle.anonymous),
    peakMb: megabytes(idle.peak),
    idleCpuMsPerMinute: Math.round(((idle.cpu - settled.cpu) * 60_000) / IDLE),
  };
}
