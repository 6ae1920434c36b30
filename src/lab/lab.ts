/**
 * Making a lab, from nothing to containers that reach each other:
 *
 *     fabric -> hosts -> store -> agents -> containers -> peers in place
 *
 * Each step is done for all hosts at once. Until `handOver` the lab hangs on our own process, so an error, a
 * Ctrl-C and a `kill -9` at any moment have the same end: nothing is left (src/lab/anchor.ts says why).
 */
import { defined } from '../base/defined.ts';
import { isCode } from '../base/errors.ts';
import { parallel } from '../base/parallel.ts';
import { valuesOf } from '../base/per-family.ts';
import { endProcess, isAlive } from '../sys/pidfd.ts';
import { bootStore, populate, waitForOthers } from './boot.ts';
import { LabError } from './errors.ts';
import { type Anchor, startKeeper, waitForDeath } from './host/anchor.ts';
import { Fabric } from './host/fabric.ts';
import { Site } from './host/site.ts';
import {
  endedLabs,
  findRecord,
  type LabRecord,
  lockName,
  ownProcess,
  readRecord,
  removeRecord,
  requireRecord,
  saveRecord,
} from './record/record.ts';
import { requireForPlan, requireRootForLab } from './requirements.ts';
import { certifyHosts, installCertificate } from './service/certificates.ts';
import { sweepControlGroups } from './service/docker.ts';
import type { LabPlan } from './topology/plan.ts';

/** Hosts worked on at the same time. */
const AT_ONCE = 8;

export interface CreateOptions {
  readonly signal: AbortSignal;
  /** Called after every step. */
  readonly onStep?: (step: string) => void;
}

/** A lab that this process made, and that ends with it unless it is handed over. */
export class Lab implements AsyncDisposable {
  readonly record: LabRecord;
  readonly #anchors: readonly Anchor[];
  readonly #lock: AsyncDisposable;
  readonly #resources: AsyncDisposableStack;
  #isPublished = false;

  /** @param resources what ends the lab, and gives its name free, when it is disposed. */
  constructor(
    record: LabRecord,
    anchors: readonly Anchor[],
    lock: AsyncDisposable,
    resources: AsyncDisposableStack,
  ) {
    this.record = record;
    this.#anchors = anchors;
    this.#lock = lock;
    this.#resources = resources;
  }

  /** Lets other commands find the lab while we hold it. */
  async publish(): Promise<void> {
    await saveRecord(this.record);
    await this.#lock[Symbol.asyncDispose]();
    this.#isPublished = true;
  }

  /** Lets the lab outlive us. Returns its final record. */
  async handOver(): Promise<LabRecord> {
    const { name } = this.record;
    await using _lock = this.#isPublished ? await lockName(name) : this.#lock;
    // Another command may have restarted a host of a published lab.
    const known = this.#isPublished ? requireRecord(name) : this.record;
    // Found first, kept second: if we are killed in between, the lab is either gone or can be ended by name.
    await saveRecord(known);
    const lifelines = this.#anchors.map(anchor => anchor.lifeline);
    const record = { ...known, keeper: await startKeeper(known.anchor, lifelines) };
    await saveRecord(record);
    // The keeper holds on now; nothing of ours is to be undone any more.
    for (const anchor of this.#anchors) anchor.release();
    this.#resources.move();
    return record;
  }

  /** Ends the lab, unless it was handed over. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/**
 * Makes a lab that works: when the promise resolves every agent has everything in place for every other host.
 *
 * @throws LabError; `signal.reason`. Nothing is left of a failed attempt.
 */
export async function createLab(plan: LabPlan, options: CreateOptions): Promise<Lab> {
  await requireForPlan(plan);
  await using resources = new AsyncDisposableStack();
  const lock = resources.use(await lockName(plan.name));
  if (findRecord(plan.name) !== undefined) {
    throw new LabError('NAME_TAKEN', `a lab named ${plan.name} already exists`, {
      hint: `choose another --name, or remove it with \`tulle lab down --name ${plan.name}\``,
    });
  }
  await removeTraces(plan.name);
  resources.defer(() => removeTraces(plan.name));
  await sweepEnded();

  const { fabric, anchor } = await Fabric.make(plan);
  resources.use(anchor);
  await using doors = new AsyncDisposableStack();
  doors.use(fabric);
  const { signal, onStep = () => undefined } = options;

  // Made while programs of others set up the hosts.
  const certifying = certifyHosts(plan);
  certifying.catch(() => undefined);
  const sites = await parallel(plan.hosts, { limit: AT_ONCE, signal }, async hostPlan => {
    const site = doors.use(await Site.prepare(hostPlan, fabric, hostsFile(plan)));
    resources.defer(() => site.anchor.release());
    return site;
  });
  const certificates = await certifying;
  for (const { host } of sites) {
    const certificate = certificates.get(host.name);
    if (certificate !== undefined) await installCertificate(host, plan, certificate);
  }
  onStep('hosts on a common underlay');

  const { store } = plan;
  if (store !== undefined) {
    await Promise.all(sites.map(site => bootStore(site, plan, { signal })));
    onStep(`${store.kind === 'etcd' ? 'etcd' : "Tulle's store"} with the network configuration`);
  }

  const hosts = await parallel(sites, { limit: AT_ONCE, signal }, (site, stop) =>
    populate(site, plan, { signal: stop }),
  );
  const agents = plan.hosts.filter(({ agent }) => agent !== undefined).length;
  if (agents > 0) {
    onStep(`an agent with a lease on every ${agents === sites.length ? '' : 'such '}host, and containers`);
    await parallel(sites, { limit: AT_ONCE, signal }, (site, stop) => waitForOthers(site, hosts, stop));
    onStep('routes between all hosts');
  }

  const record: LabRecord = {
    version: 3,
    name: plan.name,
    createdAt: new Date().toISOString(),
    topology: plan.topology,
    anchor: anchor.id,
    keeper: ownProcess(),
    etcdPrefix: plan.etcdPrefix,
    hosts,
    ...defined({ etcdEndpoint: plan.etcdEndpoint }),
  };
  return new Lab(record, [anchor, ...sites.map(site => site.anchor)], lock, resources.move());
}

/** Ends a lab, also one of another process. False when there was none; what an earlier end left behind is removed in any case. */
export async function destroyLab(name: string): Promise<boolean> {
  requireRootForLab();
  await using _lock = await lockName(name);
  const record = readRecord(name);
  const existed = findRecord(name) !== undefined;
  if (record !== undefined) await endLab(record);
  await removeTraces(name);
  return existed;
}

function hostsFile(plan: LabPlan): string {
  const hosts = plan.hosts.flatMap(({ name, address }) => valuesOf(address).map(ip => `${ip} ${name}`));
  return ['127.0.0.1 localhost', '::1 localhost', ...hosts, ''].join('\n');
}

/**
 * Without its keeper a lab ends as a whole, and its anchor last. Only a maker that was killed while it handed the
 * lab over leaves a record with a keeper that is gone; then the anchor is ended by force.
 */
async function endLab(record: LabRecord): Promise<void> {
  if (isAlive(record.keeper)) await endProcess(record.keeper);
  else await endProcess(record.anchor, 0);
  await waitForDeath(record.anchor);
  await Promise.all(record.hosts.map(({ anchor }) => waitForDeath(anchor)));
}

/** Removes what labs have left whose makers were killed. One that another process has in hands is left to it. */
async function sweepEnded(): Promise<void> {
  for (const name of endedLabs()) {
    try {
      await using _lock = await lockName(name);
      if (endedLabs().includes(name)) await removeTraces(name);
    } catch (error) {
      if (!isCode(error, 'BUSY')) throw error;
    }
  }
}

/** What a lab leaves on this machine once its processes are gone. */
async function removeTraces(name: string): Promise<void> {
  sweepControlGroups(name);
  await removeRecord(name);
}
