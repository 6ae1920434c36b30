/**
 * Processor time and memory of one agent on a network with this many peers, in each situation that concerns all of
 * them at once. The peak is what a machine must provide, so it is measured for each situation alone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentClient } from '../../api/client.ts';
import { forgetPeak, usageOf } from '../../sys/usage.ts';
import { AgentProcess } from './agent.ts';
import { LeaseWriter } from './cluster.ts';

export const SITUATIONS = {
  start: 'a host joins: everything is new',
  rest: 'a minute in which nothing happens',
  change: 'every lease changes at the same time',
  resync: 'the kernel is compared as a whole',
  outage: 'the store is stopped and returns without its history, so that everything is read again',
  restart: 'the next process finds everything in the kernel',
  alone: 'the next process starts without the store, with what is on disk; then the store comes back',
} as const;

type Situation = keyof typeof SITUATIONS;

/** How long an idle agent is measured; milliseconds, as below. */
const REST = 60_000;
/** It is at rest when it has used almost no processor time in this many intervals in a row. */
const SAMPLE_INTERVAL = 1_000;
const QUIET_SAMPLES = 7;
const QUIET_CPU = 10;
/** Long enough that the agent notices the outage. */
const OUTAGE = 5_000;
/** An agent that never comes to rest is measured all the same. */
const MAX_SAMPLES = 180;

/** One measurement; the unit of `--json`. */
export interface UsageRow {
  readonly op: 'usage';
  readonly peers: number;
  readonly situation: Situation;
  /** At the start: milliseconds until the subnet file is there. */
  readonly subnetMs?: number;
  /** At the start: milliseconds until the kernel has all routes. */
  readonly readyMs?: number;
  /** Milliseconds of processor time until the agent is at rest. */
  readonly cpuMs: number;
  /** Megabytes (1,000,000 bytes): peak resident memory meanwhile. */
  readonly peakMb: number;
  /** Resident memory afterwards. */
  readonly residentMb: number;
  /** The part of it that no other process can share. */
  readonly anonymousMb: number;
}

export interface MeasureAgentsOptions {
  /** A store without a network. */
  readonly endpoint: string;
  /** Numbers of peers, ascending. */
  readonly sizes: readonly number[];
  readonly onProgress: (what: string) => void;
  readonly signal: AbortSignal;
}

/** Starts an agent for each size, one after the other. */
export async function measureAgents(options: MeasureAgentsOptions): Promise<UsageRow[]> {
  const { endpoint, sizes, onProgress, signal } = options;
  await using writer = await LeaseWriter.open(endpoint);
  onProgress('an agent, once, for its compiled code to be kept');
  await startOnce(endpoint, signal);
  const rows: UsageRow[] = [];
  let written = 0;
  for (const [index, peers] of sizes.entries()) {
    await writer.fill(written, peers);
    written = peers;
    // With the address of an earlier agent it would take over the lease of that one.
    await using agent = await AgentProcess.start(endpoint, index + 1);
    for (const [situation, happen] of situationsOf(agent, writer, peers, signal)) {
      onProgress(`${peers} peers: ${SITUATIONS[situation]}`);
      rows.push(await measureSituation(agent, peers, situation, happen, signal));
    }
    // What was changed is as it was, for the next size.
    await writer.fill(0, peers);
  }
  return rows;
}

async function startOnce(endpoint: string, signal: AbortSignal): Promise<void> {
  await using agent = await AgentProcess.start(endpoint);
  await agent.ready(0, signal);
}

type Happening = () => Promise<unknown>;

function situationsOf(
  agent: AgentProcess,
  writer: LeaseWriter,
  peers: number,
  signal: AbortSignal,
): readonly [Situation, Happening][] {
  const pause = (ms: number) => sleep(ms, undefined, { signal });
  return [
    ['start', () => agent.ready(peers, signal)],
    ['rest', () => pause(REST)],
    ['change', () => writer.fill(0, peers, 1)],
    ['resync', () => new AgentClient({ socketPath: agent.socketPath, timeout: 60_000 }).resync(signal)],
    [
      'outage',
      async () => {
        await agent.store.shut();
        await writer.fill(0, Math.min(1, peers), 2);
        await writer.compact();
        await pause(OUTAGE);
        await agent.store.open();
      },
    ],
    ['restart', () => agent.restart()],
    [
      'alone',
      async () => {
        await agent.store.shut();
        await agent.restart();
        await pause(OUTAGE);
        await agent.store.open();
      },
    ],
  ];
}

async function measureSituation(
  agent: AgentProcess,
  peers: number,
  situation: Situation,
  happen: Happening,
  signal: AbortSignal,
): Promise<UsageRow> {
  const { pid, started } = agent;
  const isNew = situation === 'start';
  const before = isNew ? 0 : usageOf(pid).cpu;
  if (!isNew) forgetPeak(pid);
  const [subnetTime] = await Promise.all([isNew ? agent.subnetTime(signal) : undefined, happen()]);
  const subnetMs = subnetTime === undefined ? {} : { subnetMs: Math.round(subnetTime) };
  const readyMs = isNew ? { readyMs: Math.round(performance.now() - started) } : {};
  if (situation !== 'rest') await untilAtRest(agent, signal);
  const { cpu, peak, resident, anonymous } = usageOf(agent.pid);
  const isSame = agent.started === started;
  return {
    op: 'usage',
    peers,
    situation,
    ...subnetMs,
    ...readyMs,
    cpuMs: Math.round(isSame ? cpu - before : cpu),
    peakMb: megabytes(peak),
    residentMb: megabytes(resident),
    anonymousMb: megabytes(anonymous),
  };
}

async function untilAtRest(agent: AgentProcess, signal: AbortSignal): Promise<void> {
  let quiet = 0;
  let before = usageOf(agent.pid).cpu;
  for (let sample = 0; sample < MAX_SAMPLES && quiet < QUIET_SAMPLES; sample++) {
    await sleep(SAMPLE_INTERVAL, undefined, { signal });
    const { cpu } = usageOf(agent.pid);
    quiet = cpu - before < QUIET_CPU ? quiet + 1 : 0;
    before = cpu;
  }
}

const megabytes = (bytes: number) => Math.round(bytes / 1e5) / 10;
