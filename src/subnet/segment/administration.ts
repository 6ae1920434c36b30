/**
 * What only an administrator does to L2 networks: make one, delete one, take from a dead host what it has.
 *
 * The name and the VNI are taken together, in one transaction. What two administrators make at the same moment under
 * different names may overlap all the same; the younger one is taken back.
 */
import { randomBytes } from 'node:crypto';
import { ConfigError, type Problem } from '../../base/errors.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { KeyValue } from '../../store/store.ts';
import { readConfig } from '../config/config-watch.ts';
import { Registry } from '../registry.ts';
import { planSegment, type SegmentRequest } from './check-segment.ts';
import { nameOfHost, type Segment, type SegmentEndpoint, type SegmentSnapshot } from './segment.ts';
import { contextOf, drawSegmentVni, overlapProblem, type SegmentContext } from './segment-context.ts';
import { SegmentError } from './segment-error.ts';
import { parseVniKey } from './segment-key.ts';
import { notFound, type SegmentRegistry } from './segment-registry.ts';
import { encodeSegment } from './segment-value.ts';

/** Attempts to get a VNI that another administrator takes at the same moment. */
const TRIES = 8;
/** etcd takes 128 operations in a transaction; each deletion needs a comparison. */
const MOST_DELETIONS = 60;

/** A request that leaves it to this host which subnets are free. */
export interface AnySubnetRequest extends Omit<SegmentRequest, 'subnets'> {
  readonly subnets: (context: SegmentContext) => readonly string[];
}

/**
 * Where the subnets are chosen here, they are chosen again when somebody has taken them meanwhile.
 * @throws ConfigError with every problem; SegmentError EXISTS
 */
export async function addSegment(
  registry: SegmentRegistry,
  wanted: SegmentRequest | AnySubnetRequest,
  { random = Math.random, now = new Date() }: { readonly random?: () => number; readonly now?: Date } = {},
): Promise<Segment> {
  for (let tries = 0; tries < TRIES; tries++) {
    const context = await readContext(registry);
    if (context.segments.some(({ name }) => name === wanted.name)) throw exists(wanted.name);
    const isChosen = typeof wanted.subnets === 'function';
    const request = { ...wanted, subnets: isChosen ? wanted.subnets(context) : wanted.subnets };
    const problems: Problem[] = [];
    const plan = planSegment(request, context, problems);
    if (problems.length > 0) throw new ConfigError('L2 network', problems);
    const vni = plan.vni ?? drawSegmentVni(context, random);
    if (vni === undefined) throw new SegmentError('EXHAUSTED_RANGES', 'every VNI is taken');
    const id = randomBytes(8).toString('hex');
    const segment = { ...plan, vni, id, created: now };
    const written = await write(registry, request.name, segment);
    if (written === undefined) continue;
    const made = { name: request.name, ...segment, createRevision: written };
    const overlapping = await takeBackIfYounger(registry, made);
    if (overlapping.length === 0) return made;
    if (!isChosen) throw new ConfigError('L2 network', overlapping);
  }
  throw exists(wanted.name);
}

/**
 * Deletes a network, and all that hosts have written below it.
 *
 * @param force also while containers are on it @throws SegmentError IN_USE naming them, NOT_FOUND
 */
export async function removeSegment(
  registry: SegmentRegistry,
  name: string,
  { force = false }: { readonly force?: boolean } = {},
): Promise<SegmentSnapshot> {
  const { keys, store } = registry;
  const found = await registry.get(name);
  if (!force && found.endpoints.size > 0) throw inUse(name, [...found.endpoints.values()]);
  const { segment } = found;
  const key = keys.config(name);
  const { ok } = await store.transact({
    compare: [{ key, target: 'create', is: '=', operand: segment.createRevision }],
    success: [
      { op: 'delete', key },
      { op: 'delete', key: keys.vni(segment.vni) },
    ],
  });
  if (!ok) throw notFound(name);
  await deleteLeftovers(registry, name);
  return found;
}

/** Takes all that a host has of a network: membership, addresses, ranges. Of a host that runs it writes some again. */
export async function releaseHost(registry: SegmentRegistry, name: string, hostId: string): Promise<void> {
  const { segment, endpoints, ranges } = await registry.get(name);
  await registry.leave(segment, hostId);
  const ips = [...endpoints.values()].filter(one => one.hostId === hostId).map(({ ip }) => ip);
  await registry.releaseEndpoints(segment, ips, hostId);
  const own = [...ranges.values()].filter(range => range.hostId === hostId);
  await Promise.all(own.map(range => registry.releaseRange(segment, range)));
}

async function readContext(registry: SegmentRegistry): Promise<SegmentContext> {
  const { store, keys, prefix } = registry;
  const overlay = new Registry(store, { prefix });
  const [config, { leases }, { segments }, vnis] = await Promise.all([
    store.get(overlay.configKey),
    overlay.list(),
    registry.list(),
    store.list(keys.vnis),
  ]);
  const reading = config.kv && readConfig(config.kv.value);
  return contextOf(
    reading?.state === 'valid' ? reading.config : undefined,
    leases,
    [...segments.values()].map(({ segment }) => segment),
    new Map(vnis.kvs.flatMap(kv => vniIn(kv, keys.vnis))),
  );
}

function vniIn({ key, value }: KeyValue, directory: string): readonly (readonly [number, string])[] {
  const vni = parseVniKey(key.slice(directory.length));
  return vni === undefined ? [] : [[vni, new TextDecoder().decode(value.subarray(0, 64))]];
}

/** The revision, or undefined when name or VNI were taken meanwhile. */
async function write(
  registry: SegmentRegistry,
  name: string,
  segment: Omit<Segment, 'name' | 'createRevision'>,
): Promise<bigint | undefined> {
  const { store, keys } = registry;
  await deleteLeftovers(registry, name);
  const [config, vni] = [keys.config(name), keys.vni(segment.vni)];
  const { ok, revision } = await store.transact({
    compare: [
      { key: config, target: 'version', is: '=', operand: 0n },
      { key: vni, target: 'version', is: '=', operand: 0n },
    ],
    success: [
      { op: 'put', key: config, value: encodeSegment(segment) },
      { op: 'put', key: vni, value: new TextEncoder().encode(name) },
    ],
  });
  return ok ? revision : undefined;
}

/** What a network that was deleted, perhaps not to the end, has left. Nobody writes there without its `config`. */
async function deleteLeftovers({ store, keys }: SegmentRegistry, name: string): Promise<void> {
  const { kvs } = await store.list(keys.of(name));
  if (kvs.some(({ key }) => key === keys.config(name))) return;
  for (let first = 0; first < kvs.length; first += MOST_DELETIONS) {
    const batch = kvs.slice(first, first + MOST_DELETIONS);
    await store.transact({
      compare: [{ key: keys.config(name), target: 'version', is: '=', operand: 0n }],
      success: batch.map(({ key }) => ({ op: 'delete', key }) as const),
    });
  }
}

/** Two that were made at the same moment both found the subnet free. @returns why it was taken back */
async function takeBackIfYounger(registry: SegmentRegistry, made: Segment): Promise<readonly Problem[]> {
  const older = (await readContext(registry)).segments.filter(
    ({ createRevision }) => createRevision < made.createRevision,
  );
  const problems = valuesOf(made.subnets).flatMap(subnet => {
    const message = overlapProblem(subnet, { ...NOTHING, segments: older });
    return message === undefined ? [] : [{ path: 'subnet', value: `${subnet}`, message }];
  });
  if (problems.length > 0) await removeSegment(registry, made.name, { force: true });
  return problems;
}

const NOTHING = { networks: [], overlayVni: 0, hostAddresses: [], vnis: new Map<number, string>() };

const exists = (name: string) =>
  new SegmentError('EXISTS', `there is a network ${name} already`, {
    hint: `see tulle network inspect ${name}`,
  });

/** Containers that a message names. */
const MOST_NAMED = 5;

function inUse(name: string, endpoints: readonly SegmentEndpoint[]): SegmentError {
  const named = endpoints
    .slice(0, MOST_NAMED)
    .map(one => `${one.container} on ${nameOfHost(one)} (${one.ip})`);
  const more = endpoints.length - named.length;
  const all = more > 0 ? [...named, `${more} more`] : named;
  return new SegmentError('IN_USE', `containers are on the network ${name}: ${all.join(', ')}`, {
    hint: 'disconnect them, or delete it with --force: they lose this network',
  });
}
