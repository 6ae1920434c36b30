/** Planting a fault and mending it. What is planted is in the lab's record, with the steps that mend it. */
import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../../base/errors.ts';
import { holdName } from '../../sys/exclusive.ts';
import { LabError } from '../errors.ts';
import { findTarget, type Target } from '../record/find.ts';
import { lockName, type PlantedFault, requireRecord, saveRecord } from '../record/record.ts';
import { nameFlag } from '../topology/lab-name.ts';
import { isDoneAlready } from './already.ts';
import { FAULTS } from './catalogue.ts';
import type { Fault } from './fault.ts';
import { obstacleTo, requireFor } from './needs.ts';
import { perform, type Roles } from './perform.ts';
import { readScene } from './read-scene.ts';
import type { FaultStep } from './step.ts';

export interface PlantRequest {
  readonly lab: string;
  /** `docker1`, or `docker1/c1`. */
  readonly target: string;
  readonly fault: Fault;
  readonly surprise?: boolean;
}

/**
 * Plants a fault. When a step fails, what was done is undone.
 *
 * @throws LabError NOT_FOUND, HOST_DOWN, BUSY, PLANTED, UNSUPPORTED, START_FAILED; `signal.reason`.
 */
export async function plantFault(
  { lab: labName, target, fault, surprise = false }: PlantRequest,
  signal: AbortSignal,
): Promise<PlantedFault> {
  await using _lock = await lockFaults(labName);
  const lab = requireRecord(labName);
  const { record, container } = findTarget(lab, target);
  refuseTwice(lab.faults ?? [], fault, target, labName);
  requireFor(fault, { lab, record, ...(container === undefined ? {} : { container }) });
  const scene = await readScene(
    lab,
    { host: record.name, ...(container === undefined ? {} : { container: container.name }) },
    signal,
  );
  const steps = fault.plant(scene);
  const obstacle = await obstacleTo(fault, steps);
  if (obstacle !== undefined) throw obstacle;
  const roles = {
    lab: labName,
    host: record.name,
    container: scene.container.name,
    sibling: scene.sibling.name,
    peer: scene.peer.name,
    peerContainer: scene.peer.container.name,
  };
  const before: FaultStep[] = [];
  const planted = (): PlantedFault => ({
    fault: fault.name,
    host: roles.host,
    container: roles.container,
    sibling: roles.sibling,
    peer: roles.peer,
    peerContainer: roles.peerContainer,
    at: new Date().toISOString(),
    surprise,
    anchor: record.anchor,
    mend: [...before.toReversed(), ...fault.mend(scene)],
  });
  // Before the first step: when we are killed in the middle, another shell can mend it.
  await changeFaults(labName, faults => [...faults, planted()]);
  try {
    for (const step of steps) before.push(...(await perform(step, roles, signal)));
  } catch (cause) {
    await undo(planted().mend, roles, AbortSignal.timeout(60_000));
    await changeFaults(labName, faults => faults.slice(0, -1));
    signal.throwIfAborted();
    throw new LabError(
      'START_FAILED',
      `${surprise ? 'the fault' : fault.name} could not be planted: ${messageOf(cause)}`,
      { cause },
    );
  }
  const done = planted();
  await changeFaults(labName, faults => [...faults.slice(0, -1), done]);
  return done;
}

export interface Mended {
  readonly planted: PlantedFault;
  /** What could not be undone, in the words of the programs; nothing is expected of a host that booted meanwhile. */
  readonly failures: readonly string[];
  /** A part of it was mended by hand before. */
  readonly already: boolean;
}

/** Mends these faults, the last one first. Every one of them is out of the record afterwards. @throws LabError NOT_FOUND, BUSY */
export async function mendFaults(
  labName: string,
  choose: (planted: readonly PlantedFault[]) => readonly PlantedFault[],
  signal: AbortSignal,
): Promise<readonly Mended[]> {
  await using _lock = await lockFaults(labName);
  const { faults = [], hosts } = requireRecord(labName);
  const mended: Mended[] = [];
  for (const planted of choose(faults).toReversed()) {
    const { failures, already } = await undo(planted.mend, { ...planted, lab: labName }, signal);
    signal.throwIfAborted();
    await changeFaults(labName, now => now.filter(each => !isDeepStrictEqual(each, planted)));
    const isSameBoot = hosts.some(
      ({ name, anchor }) => name === planted.host && isDeepStrictEqual(anchor, planted.anchor),
    );
    mended.push({ planted, failures: isSameBoot ? failures : [], already: isSameBoot && already });
  }
  return mended;
}

/** Does all steps, and returns what went wrong. */
async function undo(
  steps: readonly FaultStep[],
  roles: Roles,
  signal: AbortSignal,
): Promise<Omit<Mended, 'planted'>> {
  const failures: string[] = [];
  let already = false;
  for (const step of steps) {
    try {
      await perform(step, roles, signal);
    } catch (error) {
      if (isDoneAlready(step, error)) already = true;
      else failures.push(messageOf(error));
    }
  }
  return { failures, already };
}

/** Faults that can be planted there now. */
export async function plantable(labName: string, target: string): Promise<readonly Fault[]> {
  const lab = requireRecord(labName);
  const place: Target = findTarget(lab, target);
  const planted = new Set(
    (lab.faults ?? []).filter(({ host }) => host === place.record.name).map(({ fault }) => fault),
  );
  return FAULTS.filter(fault => {
    if (planted.has(fault.name)) return false;
    try {
      requireFor(fault, { lab, ...place });
      return true;
    } catch {
      return false;
    }
  });
}

function refuseTwice(faults: readonly PlantedFault[], fault: Fault, target: string, lab: string): void {
  const [host] = target.split('/');
  const same = faults.find(each => each.fault === fault.name && each.host === host);
  if (same === undefined) return;
  throw new LabError('PLANTED', `${fault.name} is planted on ${host} already`, {
    hint: `mend it first: tulle lab mend${nameFlag(lab)} ${host}${same.surprise ? ' --all' : ` ${fault.name}`}`,
  });
}

async function changeFaults(
  labName: string,
  change: (faults: readonly PlantedFault[]) => readonly PlantedFault[],
): Promise<void> {
  await using _lock = await lockName(labName);
  const lab = requireRecord(labName);
  await saveRecord({ ...lab, faults: [...change(lab.faults ?? [])] });
}

/** One command about faults at a time; the daemons of the lab are started and stopped meanwhile under its own lock. */
async function lockFaults(labName: string): Promise<AsyncDisposable> {
  requireRecord(labName);
  const lock = await holdName(`lab-${labName}-faults`);
  if (lock !== undefined) return lock;
  throw new LabError('BUSY', `another process plants or mends a fault in lab ${labName}`, {
    hint: 'wait for it',
  });
}
