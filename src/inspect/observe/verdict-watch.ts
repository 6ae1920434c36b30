/**
 * Which rules of netfilter end or translate the packets of a flow in one namespace: the kernel traces those that FlowMarks
 * marks, through nftables and through iptables-legacy, until the watch is ended.
 */
import { setImmediate } from 'node:timers/promises';
import type { Drop, FilterPass, FilterVerdict } from '../../api/inspection.ts';
import { messageOf } from '../../base/errors.ts';
import { connectNetfilter, type Netfilter } from '../../netlink/netfilter/connect.ts';
import type { TraceEvent } from '../../netlink/netfilter/trace-event.ts';
import { decodeFrame } from '../decode/decode-frame.ts';
import { layersOfDrop } from '../drops/kernel-drop.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';
import type { HopEvent } from '../trace/hops.ts';
import { chainsOfSaved, type LegacyFamily, LegacyTrace } from '../trace/legacy.ts';
import { readTracedPacket } from '../trace/packet.ts';
import { Ruleset } from '../trace/ruleset.ts';
import type { TunnelPorts } from './flow-filter.ts';
import { FlowMarks } from './flow-marks.ts';
import { flowPacket, neighborPacket } from './flow-packet.ts';
import { chainText, ruleRemoval, ruleText } from './rule-text.ts';
import type { WatchedFlow } from './watched-flow.ts';

/** Events: more than the probes of a check cause in any usual set of rules. */
const MOST_EVENTS = 20_000;
const MOST_VERDICTS = 50;
const ETH_P_ARP = 0x0806;

export interface VerdictWatchOptions {
  readonly namespace: NamespaceReader;
  readonly flow: WatchedFlow;
  readonly ports: TunnelPorts;
  /** Name of the container whose namespace it is; absent for the host's own. */
  readonly container?: string;
}

/** A marked packet on its way. */
interface Traced {
  readonly packet: Drop['packet'];
  readonly fingerprint: string | undefined;
  /** The address that an ARP message is about. */
  readonly about?: string;
  /** Of the last base chain that it came to. */
  hook?: string;
  /** The last event, when it handed the packet to a program. */
  queued?: HopEvent;
}

interface Decided {
  readonly verdict: FilterVerdict;
  readonly about: string | undefined;
}

export interface SeenVerdicts {
  readonly verdicts: FilterVerdict[];
  /** Rules that have let packets pass. */
  readonly passed: FilterPass[];
  readonly blind: string[];
}

export class VerdictWatch implements Disposable {
  readonly #options: VerdictWatchOptions;
  readonly #rules: Ruleset;
  readonly #parts: DisposableStack;
  readonly #marks: FlowMarks;
  readonly #legacy: LegacyTrace | undefined;
  readonly #blind: readonly string[];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #byId = new Map<number, Traced>();
  readonly #byFingerprint = new Map<string, Traced>();

  readonly #verdicts = new Map<string, Decided>();
  readonly #passed = new Map<string, FilterPass>();
  #isWhole = true;
  #isIdle = true;

  private constructor(options: VerdictWatchOptions, planted: Planted) {
    this.#options = options;
    this.#rules = planted.rules;
    this.#parts = planted.parts;
    this.#marks = planted.marks;
    this.#legacy = planted.legacy;
    this.#blind = planted.blind;
    this.#running = this.#run(planted.netfilter.trace(this.#stop.signal)).finally(() => {
      this.#isIdle = true;
    });
    // `finish` awaits it, and fails as it did.
    this.#running.catch(() => undefined);
  }

  /**
   * Resolves when the kernel traces; undefined where there is no rule that could decide anything.
   *
   * @throws TraceError without the program nft; NetlinkError; SysError
   */
  static async open(options: VerdictWatchOptions): Promise<VerdictWatch | undefined> {
    const { namespace } = options;
    const nftables = await namespace.ruleset();
    const legacy = namespace.hasLegacyTables ? await legacyChainsIn(namespace) : [];
    const rules = new Ruleset([...nftables.chains, ...legacy]);
    if (!rules.chains.some(({ base }) => base !== undefined)) return undefined;
    return new VerdictWatch(options, plant(options, rules, legacy.length > 0));
  }

  /**
   * What was decided until now; nothing more is watched.
   *
   * @param needed addresses whose ARP the flow needs
   */
  async finish(needed: ReadonlySet<string>): Promise<SeenVerdicts> {
    await this.#drained();
    this.#stop.abort(new Error('the observation ends'));
    await this.#running;
    this.#takeLegacy();
    for (const traced of new Set([...this.#byId.values(), ...this.#byFingerprint.values()]))
      this.#endQueued(traced);
    this[Symbol.dispose]();
    const wanted = [...this.#verdicts.values()].filter(
      ({ about }) => about === undefined || needed.has(about),
    );
    return {
      verdicts: wanted.map(({ verdict }) => verdict),
      passed: [...this.#passed.values()],
      blind: [
        ...this.#blind,
        ...(this.#isWhole ? [] : ['some verdicts of rules: there were too many at once']),
      ],
    };
  }

  /** Resolves when what the kernel has announced until now is read. */
  async #drained(): Promise<void> {
    // What has come is noticed between turns of the event loop.
    for (let turn = 0; turn < 3; turn++) await setImmediate();
    while (!this.#isIdle) await setImmediate();
  }

  async #run(events: ReturnType<Netfilter['trace']>): Promise<void> {
    let count = 0;
    for await (const event of events) {
      this.#isIdle = event.type === 'idle';
      if (event.type === 'overrun' || ++count > MOST_EVENTS) this.#isWhole = false;
      else if (event.type === 'idle') this.#takeLegacy();
      else this.#take(event);
      if (count > MOST_EVENTS) break;
    }
  }

  #take(event: TraceEvent): void {
    const { id, table, chain, kind, networkHeader, transportHeader } = event;
    const fingerprint =
      networkHeader === undefined ? undefined : readTracedPacket(networkHeader, transportHeader)?.fingerprint;
    const marked = table === this.#marks.table && kind === 'rule' ? this.#marks.packetOf(chain) : undefined;
    if (marked !== undefined) {
      // Another rule marks it as well.
      if (networkHeader === undefined) return;
      const about = marked === 'neighbor' ? addressIn(event) : undefined;
      const begun = { packet: marked, fingerprint, ...(about === undefined ? {} : { about }) };
      this.#byId.set(id, begun);
      if (fingerprint !== undefined) this.#byFingerprint.set(fingerprint, begun);
      return;
    }
    const traced = this.#tracedBy(id, fingerprint);
    if (traced === undefined) return;
    delete traced.queued;
    if (table !== this.#marks.table) this.#judge(event, traced);
  }

  /** The id of a packet may change between two hooks, and be another packet's later; what it is stays. */
  #tracedBy(id: number, fingerprint: string | undefined): Traced | undefined {
    const known = this.#byId.get(id);
    if (fingerprint === undefined || known?.fingerprint === fingerprint) return known;
    const same = this.#byFingerprint.get(fingerprint);
    if (same === undefined) this.#byId.delete(id);
    else this.#byId.set(id, same);
    return same;
  }

  #judge(event: HopEvent, traced: Traced): void {
    const { verdict, family, table, chain } = event;
    const hook = this.#rules.chain(family, table, chain)?.base?.hook;
    if (hook !== undefined) traced.hook = hook;
    if (verdict === 'drop')
      this.#add(event, traced, REJECTS.test(ruleText(this.#rules, event)) ? 'rejected' : 'dropped');
    else if (verdict === 'queue') traced.queued = event;
    else if (verdict === 'accept' && event.kind === 'rule' && this.#isTranslation(event))
      this.#add(event, traced, 'translated');
    else if (verdict === 'accept' && event.kind === 'rule') this.#pass(event, traced);
  }

  /** A program has not given it back. */
  #endQueued(traced: Traced): void {
    if (traced.queued !== undefined) this.#add(traced.queued, traced, 'dropped');
    delete traced.queued;
  }

  #isTranslation(event: HopEvent): boolean {
    return TRANSLATES.test(ruleText(this.#rules, event));
  }

  #pass(event: HopEvent, traced: Traced): void {
    if (traced.packet === 'neighbor' || this.#passed.size >= MOST_VERDICTS) return;
    const pass = { packet: traced.packet, ...this.#whereOf(event, traced) };
    this.#passed.set(JSON.stringify(pass), pass);
  }

  #whereOf(event: HopEvent, { hook }: Pick<Traced, 'hook'>): Omit<FilterPass, 'packet'> {
    const { container } = this.#options;
    return {
      chain: chainText(event),
      rule: ruleText(this.#rules, event),
      ...(hook === undefined ? {} : { hook }),
      ...(container === undefined ? {} : { container }),
    };
  }

  #add(event: HopEvent, traced: Traced, end: FilterVerdict['end']): void {
    const { packet, about } = traced;
    const removal = this.#options.container === undefined ? ruleRemoval(this.#rules, event) : undefined;
    const verdict: FilterVerdict = {
      packet,
      end,
      ...this.#whereOf(event, traced),
      ...(removal === undefined ? {} : { removal }),
    };
    const key = [packet, end, verdict.chain, verdict.rule, about].join('\n');
    if (this.#verdicts.size < MOST_VERDICTS) this.#verdicts.set(key, { verdict, about });
  }

  #takeLegacy(): void {
    const { flow, ports } = this.#options;
    for (const { logged, event } of this.#legacy?.decisions(this.#rules) ?? []) {
      const packet = flowPacket(decodeFrame(logged.payload, { linkType: 'ip', ...ports }), flow);
      if (packet !== undefined) this.#judge(event, { packet: packet.packet, fingerprint: undefined });
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error('the observation ends'));
    this.#parts.dispose();
  }
}

const REJECTS = /(^| )(reject|-j REJECT)\b/;
const TRANSLATES = /(^| )(dnat|snat|masquerade|redirect|-j (DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP))\b/;

/** Of an ARP message. */
function addressIn({ networkHeader, family }: TraceEvent): string | undefined {
  if (networkHeader === undefined) return undefined;
  const first = (networkHeader[0] ?? 0) >>> 4;
  if (family !== 'arp' && (first === 4 || first === 6)) return undefined;
  const neighbor = neighborPacket(layersOfDrop({ packet: networkHeader, protocol: ETH_P_ARP }));
  return neighbor === undefined ? undefined : `${neighbor.address}`;
}

const LEGACY_FAMILIES = { ip: 'iptables-legacy-save', ip6: 'ip6tables-legacy-save' } as const;

async function legacyChainsIn(namespace: NamespaceReader) {
  const families = Object.entries(LEGACY_FAMILIES) as [LegacyFamily, 'iptables-legacy-save'][];
  const chains = await Promise.all(
    families.map(async ([family, program]) => chainsOfSaved(await namespace.saved(program), family)),
  );
  return chains.flat();
}

interface Planted {
  readonly netfilter: Netfilter;
  readonly rules: Ruleset;
  readonly marks: FlowMarks;
  readonly legacy: LegacyTrace | undefined;
  readonly parts: DisposableStack;
  readonly blind: readonly string[];
}

function plant({ namespace, flow, ports }: VerdictWatchOptions, rules: Ruleset, hasLegacy: boolean): Planted {
  using stack = new DisposableStack();
  const { netns } = namespace;
  const netfilter = stack.use(connectNetfilter({ netns }));
  const blind: string[] = [];
  let legacy: LegacyTrace | undefined;
  try {
    if (hasLegacy) legacy = stack.use(new LegacyTrace(['ip', 'ip6'], netfilter, netns));
  } catch (error) {
    blind.push(
      `verdicts of iptables-legacy: ${messageOf(error)}: another program receives log group 0 (ulogd, another check)`,
    );
  }
  const marks = stack.use(FlowMarks.plant(netfilter, flow, ports, rules.chains));
  return { netfilter, rules, marks, legacy, parts: stack.move(), blind };
}
