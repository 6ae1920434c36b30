/**
 * Everything below `<prefix>/networks/` as it is judged: one entry per key, and for each segment a snapshot that is made
 * again only when something of this segment has changed.
 *
 * A key whose new value is wrong keeps its last good one: a typing error in `config` must not take a network from all
 * hosts. What is right alone may be wrong beside others: an address outside the subnet, a MAC address that a container
 * of another host or the gateway has, a range that overlaps an older one.
 */
import { messageOf } from '../../base/errors.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { KeyValue, Revision } from '../../store/store.ts';
import type {
  RejectedSegmentKey,
  Segment,
  SegmentEndpoint,
  SegmentMember,
  SegmentRange,
  SegmentSnapshot,
  SegmentsSnapshot,
  Stored,
} from './segment.ts';
import { parseSegmentKey, type SegmentKey, type SegmentKeys } from './segment-key.ts';
import { gatewayMac } from './segment-mac.ts';
import { decodeEndpoint, decodeMember, decodeSegment, decodeSegmentRange } from './segment-value.ts';

type Read =
  | { readonly kind: 'config'; readonly value: Segment }
  | { readonly kind: 'member'; readonly value: Stored<SegmentMember> }
  | { readonly kind: 'endpoint'; readonly value: Stored<SegmentEndpoint> }
  | { readonly kind: 'range'; readonly value: Stored<SegmentRange> };

interface Entry {
  /** The last good value. */
  readonly read: Read | undefined;
  /** Why the latest value is not used. */
  readonly reason: string | undefined;
  /** The store has forgotten it. */
  readonly isKept?: true;
}

interface Holding {
  /** By key below the directory. */
  readonly entries: Map<string, Entry>;
  /** Absent when it is out of date. */
  judged: Judged | undefined;
}

interface Judged {
  /** Absent without a good `config`. */
  readonly snapshot: SegmentSnapshot | undefined;
  readonly rejected: readonly RejectedSegmentKey[];
}

/** Where keys that name no network are noted. */
const NOWHERE = '';

export class SegmentState {
  readonly #keys: SegmentKeys;
  readonly #holdings = new Map<string, Holding>();
  #revision: Revision = 0n;
  #snapshot: SegmentsSnapshot | undefined;

  constructor(keys: SegmentKeys) {
    this.#keys = keys;
  }

  /** @returns keys that the store has forgotten, and that stay: only when it is `unrelated` to what was there before */
  replace(
    kvs: readonly KeyValue[],
    { revision, unrelated }: { readonly revision: Revision; readonly unrelated?: true },
  ): readonly string[] {
    const present = new Set(kvs.map(({ key }) => this.#keys.below(key)));
    for (const [name, holding] of this.#holdings) {
      for (const [key, entry] of holding.entries) {
        if (present.has(key)) continue;
        if (unrelated && entry.read !== undefined) {
          holding.entries.set(key, { ...entry, isKept: true, read: forgotten(entry.read) });
          this.#outdate(holding);
        } else this.#remove(name, key);
      }
    }
    for (const kv of kvs) this.put(kv);
    this.#snapshot = undefined;
    this.#revision = revision;
    return this.kept();
  }

  put(kv: KeyValue): void {
    const key = this.#keys.below(kv.key);
    if (key === undefined) return;
    const parsed = parseSegmentKey(key);
    const holding = this.#holding(parsed?.name ?? NOWHERE);
    const before = holding.entries.get(key);
    holding.entries.set(key, readEntry(parsed, kv, before));
    this.#outdate(holding);
  }

  delete(path: string): void {
    const key = this.#keys.below(path);
    if (key !== undefined) this.#remove(parseSegmentKey(key)?.name ?? NOWHERE, key);
  }

  /** The revision of the last change. */
  advance(revision: Revision): void {
    this.#revision = revision;
    this.#snapshot = undefined;
  }

  /** Keys that the store has forgotten. */
  kept(): readonly string[] {
    return [...this.#holdings.values()].flatMap(({ entries }) =>
      [...entries].flatMap(([key, { isKept }]) => (isKept ? [key] : [])),
    );
  }

  forgetKept(): void {
    for (const [name, { entries }] of this.#holdings) {
      for (const [key, { isKept }] of entries) if (isKept) this.#remove(name, key);
    }
  }

  snapshot(): SegmentsSnapshot {
    this.#snapshot ??= this.#judgeAll();
    return this.#snapshot;
  }

  #judgeAll(): SegmentsSnapshot {
    const segments = new Map<string, SegmentSnapshot>();
    const rejected: RejectedSegmentKey[] = [];
    for (const name of [...this.#holdings.keys()].sort()) {
      const holding = this.#holding(name);
      holding.judged ??= judge(name, holding.entries);
      if (holding.judged.snapshot !== undefined) segments.set(name, holding.judged.snapshot);
      rejected.push(...holding.judged.rejected);
    }
    return { revision: this.#revision, segments, rejected };
  }

  #holding(name: string): Holding {
    let holding = this.#holdings.get(name);
    if (holding === undefined) {
      holding = { entries: new Map(), judged: undefined };
      this.#holdings.set(name, holding);
    }
    return holding;
  }

  #remove(name: string, key: string): void {
    const holding = this.#holdings.get(name);
    if (holding?.entries.delete(key) !== true) return;
    this.#outdate(holding);
    if (holding.entries.size === 0) this.#holdings.delete(name);
  }

  #outdate(holding: Holding): void {
    holding.judged = undefined;
    this.#snapshot = undefined;
  }
}

function forgotten(read: Read): Read {
  switch (read.kind) {
    case 'config':
      return read;
    case 'member':
      return { ...read, value: { ...read.value, forgotten: true } };
    case 'endpoint':
      return { ...read, value: { ...read.value, forgotten: true } };
    case 'range':
      return { ...read, value: { ...read.value, forgotten: true } };
  }
}

function readEntry(parsed: SegmentKey | undefined, kv: KeyValue, before: Entry | undefined): Entry {
  try {
    if (parsed === undefined) return { read: undefined, reason: 'is no key of an L2 network' };
    return { read: decode(parsed, kv), reason: undefined };
  } catch (error) {
    return { read: before?.read, reason: messageOf(error) };
  }
}

function decode(key: SegmentKey, kv: KeyValue): Read {
  const { createRevision, modRevision, lease: storeLease } = kv;
  const stored = { storeLease, createRevision, modRevision };
  switch (key.kind) {
    case 'config':
      return { kind: 'config', value: { name: key.name, ...decodeSegment(kv.value), createRevision } };
    case 'member':
      return { kind: 'member', value: { ...decodeMember(key.hostId, kv.value), ...stored } };
    case 'endpoint':
      return { kind: 'endpoint', value: { ...decodeEndpoint(key.ip, kv.value), ...stored } };
    case 'range':
      return { kind: 'range', value: { ...decodeSegmentRange(key.block, kv.value), ...stored } };
  }
}

function judge(name: string, entries: ReadonlyMap<string, Entry>): Judged {
  const rejected: RejectedSegmentKey[] = [];
  for (const [key, { reason }] of entries) if (reason !== undefined) rejected.push({ key, reason });
  const config = entries.get(`${name}/config`)?.read;
  if (config?.kind !== 'config') return { snapshot: undefined, rejected };
  const segment = config.value;

  const members = new Map<string, Stored<SegmentMember>>();
  const endpoints = new Map<number | bigint, Stored<SegmentEndpoint>>();
  const refused: Stored<SegmentEndpoint>[] = [];
  const ranges = new Map<number | bigint, Stored<SegmentRange>>();
  const gateway = gatewayMac(segment);
  const hostOfMac = new Map<number, SegmentEndpoint>();
  for (const [key, { read }] of byAge(entries)) {
    const refuse = (reason: string) => rejected.push({ key, reason });
    if (read?.kind === 'member') members.set(read.value.hostId, read.value);
    else if (read?.kind === 'endpoint') {
      const { value } = read;
      const other = hostOfMac.get(value.mac.key);
      const wrong = value.mac.equals(gateway)
        ? 'has the MAC address of the gateway'
        : endpointProblem(value, segment, other);
      if (wrong !== undefined) {
        refused.push(value);
        refuse(wrong);
      } else {
        endpoints.set(value.ip.key, value);
        hostOfMac.set(value.mac.key, value);
      }
    } else if (read?.kind === 'range') {
      const { value } = read;
      const older = [...ranges.values()].find(({ block }) => block.overlaps(value.block));
      if (segment.subnets[value.block.family]?.contains(value.block) !== true)
        refuse('is outside of the subnets');
      else if (older !== undefined) refuse(`overlaps ${older.block}, which is older`);
      else ranges.set(value.block.key, value);
    }
  }
  return { snapshot: { segment, members, endpoints, refused, ranges }, rejected };
}

/** The oldest first; of those that were made together, by key. */
function byAge(entries: ReadonlyMap<string, Entry>): readonly (readonly [string, Entry])[] {
  const ageOf = ({ read }: Entry) => read?.value.createRevision ?? 0n;
  return [...entries].sort(([a, first], [b, second]) => {
    const [older, newer] = [ageOf(first), ageOf(second)];
    return older === newer ? (a < b ? -1 : 1) : older < newer ? -1 : 1;
  });
}

function endpointProblem(
  { ip, mac, hostId }: SegmentEndpoint,
  { subnets, gateways }: Segment,
  other: SegmentEndpoint | undefined,
): string | undefined {
  if (subnets[ip.family]?.contains(ip) !== true) return 'is outside of the subnets';
  if (valuesOf(gateways).some(gateway => gateway.equals(ip))) return 'is the address of the gateway';
  if (other === undefined || other.hostId === hostId) return undefined;
  return `has the MAC address ${mac}, which ${other.container} on ${other.hostName ?? other.hostId} has too`;
}
