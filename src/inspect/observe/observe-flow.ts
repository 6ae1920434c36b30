/**
 * What becomes of the packets of one flow on this host, between two moments: where they pass links, what the kernel drops
 * and why, which rule of netfilter decides, which counters move. It changes nothing about them. What cannot be watched is
 * named in `blind`, and fails nothing else.
 */
import type { CounterChange, Flow, Observation, SilentAddress } from '../../api/inspection.ts';
import { LONGEST_OBSERVATION } from '../../api/inspection-lines.ts';
import { messageOf } from '../../base/errors.ts';
import { lazy } from '../../base/lazy.ts';
import { FLANNEL_PORTS } from '../decode/decode-frame.ts';
import type { Container } from '../host/containers.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { OngoingObservation } from '../inspector/inspector.ts';
import { counterChanges, type KernelCounters, readCounters } from './counters.ts';
import { withPrograms } from './drop-programs.ts';
import { DropWatch } from './drop-watch.ts';
import type { TunnelPorts } from './flow-filter.ts';
import { neededAddresses } from './needed-addresses.ts';
import { pointsOf } from './points.ts';
import { type NeighborRequest, type SeenPackets, SightingWatch, vxlanPortsOf } from './sighting-watch.ts';
import { VerdictWatch } from './verdict-watch.ts';
import { type WatchedFlow, watchedFlow } from './watched-flow.ts';

/** As many as an Observation may have. */
const MOST = { verdicts: 100, silent: 100, counters: 500, blind: 20 };
const NOTHING_SEEN: SeenPackets = { sightings: [], unanswered: [], blind: [] };

/**
 * Resolves when all is watched that can be.
 *
 * @param host stays the caller's, and must last as long
 * @throws ParseError for a flow that no packet can belong to; SysError when the host's links cannot be read; `signal.reason`
 */
export async function observeFlow(
  host: HostReader,
  flow: Flow,
  signal: AbortSignal,
): Promise<OngoingObservation> {
  signal.throwIfAborted();
  const watched = watchedFlow(flow);
  const observing = await Observing.begin(host, watched);
  try {
    signal.throwIfAborted();
  } catch (error) {
    await observing[Symbol.asyncDispose]();
    throw error;
  }
  return observing;
}

/** A container of the flow, with its counters as they were. */
interface WatchedContainer {
  readonly container: Container;
  readonly before: KernelCounters;
}

class Observing implements OngoingObservation {
  readonly #host: HostReader;
  readonly #flow: WatchedFlow;
  readonly #blind: string[] = [];
  readonly #parts = new AsyncDisposableStack();
  #containers: readonly WatchedContainer[] = [];
  #counters: KernelCounters = new Map();
  #sightings: SightingWatch | undefined;
  #drops: DropWatch | undefined;
  #verdicts: readonly VerdictWatch[] = [];
  #limit: NodeJS.Timeout | undefined;

  private constructor(host: HostReader, flow: WatchedFlow) {
    this.#host = host;
    this.#flow = flow;
  }

  static async begin(host: HostReader, flow: WatchedFlow): Promise<Observing> {
    const observing = new Observing(host, flow);
    try {
      await observing.#begin();
    } catch (error) {
      await observing[Symbol.asyncDispose]();
      throw error;
    }
    return observing;
  }

  async #begin(): Promise<void> {
    // An agent that hangs is waited for while packets are watched.
    this.#host.name().catch(() => undefined);
    const [links, containers] = await Promise.all([
      this.#host.links(),
      this.#orBlind('containers', () => this.#containersOfFlow(), []),
    ]);
    const { netns } = this.#host;
    const vxlanPorts = vxlanPortsOf(links);
    const ports = { vxlanPorts, flannelPorts: FLANNEL_PORTS };
    this.#verdicts = await this.#watchVerdicts(ports, containers);
    const namespaces = new Map([
      [netns.inode, undefined],
      ...containers.map(({ inside, name }) => [inside.netns.inode, name] as const),
    ]);
    this.#drops = await this.#orBlind(
      'drops',
      () => this.#parts.use(DropWatch.open({ flow: this.#flow, vxlanPorts, namespaces })),
      undefined,
    );
    this.#counters = await this.#orBlind('counters', () => readCounters(netns, true), new Map());
    this.#containers = await this.#orBlind(
      'counters of containers',
      () => containers.map(container => ({ container, before: readCounters(container.inside.netns, false) })),
      [],
    );
    this.#sightings = await this.#orBlind(
      'packets',
      () => this.#parts.use(SightingWatch.open(netns, this.#flow, links)),
      undefined,
    );
    this.#limit = setTimeout(() => void this.#result().catch(() => undefined), LONGEST_OBSERVATION);
    this.#limit.unref();
  }

  async #watchVerdicts(ports: TunnelPorts, containers: readonly Container[]): Promise<VerdictWatch[]> {
    const places = [
      { what: 'verdicts of rules', namespace: this.#host },
      ...containers.map(({ name, inside }) => ({
        what: `verdicts of rules of ${name}`,
        namespace: inside,
        container: name,
      })),
    ];
    const watches = await Promise.all(
      places.map(({ what, ...place }) =>
        this.#orBlind(what, () => VerdictWatch.open({ ...place, flow: this.#flow, ports }), undefined),
      ),
    );
    return watches.flatMap(watch => (watch === undefined ? [] : [this.#parts.use(watch)]));
  }

  finish(): Promise<Observation> {
    return this.#result();
  }

  readonly #result = lazy(async (): Promise<Observation> => {
    clearTimeout(this.#limit);
    const seen = await this.#orBlind(
      'packets',
      () => this.#sightings?.finish() ?? NOTHING_SEEN,
      NOTHING_SEEN,
    );
    const counters = await this.#orBlind('counters', () => this.#counterChanges(), []);
    const needed = await this.#orBlind(
      'next hops',
      () => neededAddresses(this.#host, this.#flow),
      new Set<string>([`${this.#flow.from}`, `${this.#flow.to}`]),
    );
    const dropped = await this.#orBlind(
      'drops',
      () => this.#drops?.finish(needed) ?? { drops: [], blind: [] },
      { drops: [], blind: [] },
    );
    const decided = await Promise.all(
      this.#verdicts.map(watch =>
        this.#orBlind('verdicts of rules', () => watch.finish(needed), {
          verdicts: [],
          passed: [],
          blind: [],
        }),
      ),
    );
    await this.#parts[Symbol.asyncDispose]();
    const points = pointsOf(await this.#host.links(), await this.#host.addresses());
    const at = (index: number) => {
      const { name, point } = points.get(index) ?? { name: `link ${index}`, point: 'other' as const };
      return { link: name, point };
    };
    return {
      host: await this.#host.name(),
      sightings: seen.sightings.map(sighting => ({ ...sighting, ...at(sighting.link) })),
      drops: await this.#orBlind('programs', () => withPrograms(this.#host, dropped.drops), dropped.drops),
      verdicts: decided.flatMap(({ verdicts }) => verdicts).slice(0, MOST.verdicts),
      passed: decided.flatMap(({ passed }) => passed).slice(0, MOST.verdicts),
      silent: this.#silent(seen.unanswered, needed)
        .map(({ address, askedBy, link, count }): SilentAddress => {
          return { address: `${address}`, askedBy: `${askedBy}`, ...at(link), count };
        })
        .slice(0, MOST.silent),
      counters: counters.slice(0, MOST.counters),
      blind: [
        ...this.#blind,
        ...seen.blind,
        ...dropped.blind,
        ...decided.flatMap(({ blind }) => blind),
      ].slice(0, MOST.blind),
    };
  });

  /** Those that have one of the flow's addresses. */
  async #containersOfFlow(): Promise<Container[]> {
    const { from, to } = this.#flow;
    const found: Container[] = [];
    for (const container of await this.#host.containers()) {
      const addresses = await container.inside.addresses().catch(() => []);
      if (addresses.some(({ ip }) => ip.equals(from) || ip.equals(to))) found.push(container);
    }
    return found;
  }

  #counterChanges(): CounterChange[] {
    return [
      ...counterChanges(this.#counters, readCounters(this.#host.netns, true)),
      ...this.#containers.flatMap(({ container: { name, inside }, before }) =>
        counterChanges(before, readCounters(inside.netns, false), name),
      ),
    ];
  }

  /** What the flow needs, and what one of its ends asks for. */
  #silent(unanswered: SeenPackets['unanswered'], needed: ReadonlySet<string>): NeighborRequest[] {
    const { from, to } = this.#flow;
    return unanswered.filter(
      ({ address, askedBy }) => needed.has(`${address}`) || askedBy.equals(from) || askedBy.equals(to),
    );
  }

  /** A part that fails is said, and takes nothing from the others. */
  async #orBlind<T, Other = T>(
    what: string,
    work: () => T | Promise<T>,
    otherwise: Other,
  ): Promise<T | Other> {
    try {
      return await work();
    } catch (error) {
      this.#blind.push(`${what}: ${messageOf(error)}`);
      return otherwise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#limit);
    await this.#parts[Symbol.asyncDispose]();
  }
}
