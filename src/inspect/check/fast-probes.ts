/** Which flows are made to see whether the fast path carries packets: one for each peer that is meant, where it is in use. */

import { untilAborted } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { parallel } from '../../base/parallel.ts';
import type { Netns } from '../../sys/netns.ts';
import { linkPrograms } from '../fastpath/link-programs.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Inspector } from '../inspector/inspector.ts';
import { type FastPair, type FastProbe, probeFastPath } from './fast-probe.ts';
import { isOk, type RungResult } from './rung.ts';

const AT_ONCE = 4;
/** Milliseconds for one flow. */
const PATIENCE = 15_000;

export interface FastProbesParts {
  readonly reader: HostReader;
  readonly here: Inspector;
  /** By name of the peer; those that cannot be asked are not among them. */
  readonly there: ReadonlyMap<string, Inspector>;
  readonly netns: (container: string) => Netns;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface FastProbes {
  readonly fast: readonly FastProbe[];
  readonly unprobed: readonly string[];
}

/** @param climbed all rungs: a flow is made where pings of one container reach the other, and nothing else is lost. */
export async function probeAll(
  climbed: readonly RungResult[],
  { reader, here, there, netns, clock, signal }: FastProbesParts,
): Promise<FastProbes> {
  const pairs = pairsOf(climbed).filter(({ peer }) => there.has(peer));
  if (pairs.length === 0 || !(await isUsed(reader))) return { fast: [], unprobed: [] };
  const results = await parallel(pairs, { limit: AT_ONCE, signal }, async pair => {
    const until = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
    const inspector = there.get(pair.peer) as Inspector;
    const parts = { here, there: inspector, netns: netns(pair.container), clock, signal: until };
    try {
      return await untilAborted(probeFastPath(pair, parts), until);
    } catch {
      signal.throwIfAborted();
      return `it took more than ${PATIENCE / 1000} s`;
    }
  });
  return {
    fast: results.filter(one => typeof one !== 'string'),
    unprobed: results.flatMap((one, at) =>
      typeof one === 'string' ? [`the fast path to ${pairs[at]?.target}: ${one}`] : [],
    ),
  };
}

/** Of each peer the first. What is lost on the normal path must be mended first: it proves no flow, and is the cause to look for. */
export function pairsOf(climbed: readonly RungResult[]): FastPair[] {
  const broken = new Set(climbed.filter(rung => !isOk(rung)).map(({ peer }) => peer));
  if (broken.has(undefined)) return [];
  const pairs = new Map<string, FastPair>();
  for (const rung of climbed.filter(({ peer }) => !broken.has(peer))) {
    const { kind, size, peer, container, source, to, target } = rung;
    if (kind !== 'container' || size !== 'small' || to.family !== 'ipv4') continue;
    if (peer === undefined || container === undefined || source === undefined || pairs.has(peer)) continue;
    pairs.set(peer, { peer, container, source, to, target });
  }
  return [...pairs.values()];
}

async function isUsed(reader: HostReader): Promise<boolean> {
  return (await linkPrograms(reader, await reader.links())).some(({ role }) => role !== undefined);
}
