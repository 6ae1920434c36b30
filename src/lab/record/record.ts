/**
 * Where other commands find a lab: one file per lab, /run/tulle/labs/NAME.json. It is written when the lab is
 * complete, so a lab that was never finished leaves no file; the file of a lab that has ended is void, and removed
 * by the next command about it, or by the next lab that is made.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { isCode } from '../../base/errors.ts';
import { holdName } from '../../sys/exclusive.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { identify, isAlive, type ProcessId } from '../../sys/pidfd.ts';
import { LabError } from '../errors.ts';
import { FaultStep } from '../faults/step.ts';
import { requireRootForLab } from '../requirements.ts';
import { isLabName } from '../topology/lab-name.ts';
import { TopologyShape } from '../topology/shape.ts';

const DIRECTORY = '/run/tulle/labs';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const processId = v.object({ pid: v.pipe(count, v.minValue(1)), started: count });
/** Names and addresses end up in paths and on command lines. */
const name = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9-]*$/));
/** A value per family, or none. */
const perFamilies = <const T extends v.GenericSchema>(value: T) =>
  v.strictObject({ ipv4: v.exactOptional(value), ipv6: v.exactOptional(value) });
const ip = perFamilies(v.pipe(v.string(), v.ip()));

export const ContainerRecord = v.object({
  name,
  ip: v.pipe(
    ip,
    v.check(record => Object.keys(record).length > 0, 'want at least one family'),
  ),
  /** File of its network namespace, as seen on the host. */
  netns: v.pipe(v.string(), v.regex(/^\/run\/[\w/-]+$/)),
});
export type ContainerRecord = v.InferOutput<typeof ContainerRecord>;

const LinkRecord = v.object({
  /** In the host: `eth0`. */
  name: v.pipe(v.string(), v.regex(/^[\w.-]+$/)),
  segment: name,
  addresses: v.array(v.pipe(v.string(), v.ip())),
});

export const HostRecord = v.object({
  name,
  /** On the underlay, of each family the first one; nothing on a host without links. */
  address: ip,
  links: v.array(LinkRecord),
  anchor: processId,
  runtime: v.picklist(['namespace', 'docker']),
  /** The leased block; nothing on a host without an agent. */
  subnet: perFamilies(v.pipe(v.string(), v.regex(/^[\da-f.:]+\/\d+$/))),
  containers: v.array(ContainerRecord),
});
export type HostRecord = v.InferOutput<typeof HostRecord>;

/** A fault that was planted. */
export const PlantedFault = v.object({
  fault: name,
  host: name,
  container: name,
  sibling: name,
  peer: name,
  peerContainer: name,
  at: v.pipe(v.string(), v.isoTimestamp()),
  /** Its name is for the learner to find out. */
  surprise: v.boolean(),
  /** On which boot of the host: what was planted in its kernel ends with it. */
  anchor: processId,
  /** In the order in which they are done. */
  mend: v.array(FaultStep),
});
export type PlantedFault = v.InferOutput<typeof PlantedFault>;

export const LabRecord = v.object({
  version: v.literal(3),
  name,
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  /** What it was made of. */
  topology: TopologyShape,
  /** The anchor of the fabric, which holds all others. */
  anchor: processId,
  /** Whose end is the lab's end. */
  keeper: processId,
  /** Absent without a store. */
  etcdEndpoint: v.exactOptional(v.string()),
  etcdPrefix: v.string(),
  hosts: v.array(HostRecord),
  /** What `tulle lab break` planted and nobody mended, the last one last. */
  faults: v.exactOptional(v.array(PlantedFault)),
});
export type LabRecord = v.InferOutput<typeof LabRecord>;

export async function saveRecord(record: LabRecord): Promise<void> {
  await writeFileAtomic(fileOf(record.name), `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
}

/** Also removes what a writer left that was killed while it wrote. */
export async function removeRecord(name: string): Promise<void> {
  for (const file of filesIn(DIRECTORY)) {
    if (file === `${name}.json` || file.startsWith(`.${name}.json.`))
      await rm(join(DIRECTORY, file), { force: true });
  }
  // The last one out takes the directories along, unless another lab uses them.
  for (const directory of [DIRECTORY, dirname(DIRECTORY)]) await rmdir(directory).catch(() => undefined);
}

/** The record of a lab that runs; undefined when there is none. */
export function findRecord(name: string): LabRecord | undefined {
  const record = readRecord(name);
  return record !== undefined && isAlive(record.anchor) ? record : undefined;
}

/** @throws LabError NOT_FOUND */
export function requireRecord(name: string): LabRecord {
  requireRootForLab();
  const record = findRecord(name);
  if (record !== undefined) return record;
  const others = recordNames().filter(other => findRecord(other) !== undefined);
  throw new LabError('NOT_FOUND', `there is no lab named ${name}`, {
    hint:
      others.length === 0
        ? 'make one with `tulle lab up`'
        : `running: ${others.join(', ')} (choose with --name)`,
  });
}

/** Names of all records, void ones included, sorted. */
function recordNames(): string[] {
  return filesIn(DIRECTORY)
    .filter(file => file.endsWith('.json'))
    .map(file => file.slice(0, -'.json'.length))
    .filter(isLabName)
    .sort();
}

function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Labs that run. */
export const runningLabs = (): LabRecord[] =>
  recordNames()
    .map(findRecord)
    .filter(record => record !== undefined);

/**
 * Names of labs that have ended and left their record. Anchors are the proof: a process is known by its number and its time
 * of birth, and nothing of a lab outlives its anchors. A record that cannot be read proves nothing.
 */
export const endedLabs = (): string[] =>
  recordNames().filter(name => {
    const record = readRecord(name);
    return record !== undefined && ![record, ...record.hosts].some(({ anchor }) => isAlive(anchor));
  });

/** The record as it is, whether or not the lab still runs. */
export function readRecord(name: string): LabRecord | undefined {
  try {
    const result = v.safeParse(LabRecord, JSON.parse(readFileSync(fileOf(name), 'utf8')));
    return result.success ? result.output : undefined;
  } catch (error) {
    if (isCode(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Keeps others from making, changing or removing the lab of this name meanwhile. The lock is a name in the kernel's table
 * of abstract sockets (unix(7)), which disappears with our process and leaves no file.
 *
 * @throws LabError BUSY
 */
export async function lockName(name: string): Promise<AsyncDisposable> {
  const lock = await holdName(`lab-${name}`);
  if (lock !== undefined) return lock;
  throw new LabError('BUSY', `another process is changing lab ${name}`, {
    hint: 'wait for it, or choose another --name',
  });
}

/** The keeper of a lab that has not been handed over. */
export function ownProcess(): ProcessId {
  const own = identify(process.pid);
  if (own === undefined) throw new LabError('START_FAILED', 'this process is not in /proc');
  return own;
}

const fileOf = (name: string) => join(DIRECTORY, `${name}.json`);
