/** Match expressions of `nft -j list ruleset`, read as conditions on packets. */
import * as v from 'valibot';
import { Prefix } from '../../base/prefix.ts';
import type { PacketCondition } from '../packets/packet.ts';

/** The elements of the sets and maps of one table, by `@name`. */
export type Sets = ReadonlyMap<string, readonly unknown[]>;

const Match = v.object({ op: v.string(), left: v.unknown(), right: v.unknown() });
const Field = v.object({
  payload: v.optional(v.object({ protocol: v.string(), field: v.string() })),
  meta: v.optional(v.object({ key: v.string() })),
  ct: v.optional(v.looseObject({ key: v.string() })),
  fib: v.optional(
    v.object({
      result: v.literal('type'),
      flags: v.union([v.literal('daddr'), v.tuple([v.literal('daddr')])]),
    }),
  ),
  '&': v.optional(v.tuple([v.object({ meta: v.object({ key: v.literal('mark') }) }), v.number()])),
});

const Concat = v.object({ concat: v.array(v.unknown()) });

/** A match expression; what is not understood is a condition that may hold. */
export function readMatch(content: unknown, sets: Sets): PacketCondition[] {
  const match = v.safeParse(Match, content);
  if (!match.success) return [always({ field: 'unknown' })];
  const { op, left, right } = match.output;
  if (v.is(Concat, left)) return readConcat(op, left.concat, valuesOf(right, sets), sets);
  const field = v.safeParse(Field, left);
  if (!field.success) return [...impliedBy(left), always({ field: 'unknown' })];
  if (!['==', '!=', 'in'].includes(op)) return [...impliedBy(left), always({ field: 'traffic' })];
  const not = op === '!=';
  const values = valuesOf(right, sets);
  const { payload, meta, ct, fib, '&': masked } = field.output;
  if (payload !== undefined) {
    const { implied, on } = readPayload(payload, values);
    return [...implied, { not, on }];
  }
  if (masked !== undefined) return [{ not, on: readMark(values, masked[1]) }];
  if (meta !== undefined) return [{ not, on: readMeta(meta.key, values) }];
  if (fib !== undefined)
    return [{ not, on: { field: values.length === 1 && values[0] === 'local' ? 'local' : 'unknown' } }];
  if (ct?.key === 'state') return [{ not, on: { field: 'state', states: words(values) } }];
  return [{ not, on: { field: ct !== undefined && ct.key !== 'mark' ? 'traffic' : 'unknown' } }];
}

/** `ip daddr . tcp dport @bad`: each field has one of its values in the set; with several elements, not any of them. */
function readConcat(
  op: string,
  fields: readonly unknown[],
  elements: readonly unknown[],
  sets: Sets,
): PacketCondition[] {
  const rows = elements.map(element => {
    const value = elementOf(element);
    return v.is(Concat, value) ? value.concat : [];
  });
  const isRead = rows.length > 0 && rows.every(row => row.length === fields.length);
  if (!isRead || !['==', 'in'].includes(op))
    return [...fields.flatMap(impliedBy), always({ field: 'unknown' })];
  const columns = fields.flatMap((left, at) =>
    readMatch({ op: '==', left, right: rows.map(row => row[at]) }, sets),
  );
  return rows.length === 1 ? columns : [...columns, always({ field: 'unknown' })];
}

const PayloadField = v.object({ payload: v.object({ protocol: v.string(), field: v.string() }) });
const MaskedPayload = v.object({ '&': v.tuple([PayloadField, v.unknown()]) });

/** `tcp flags & (fin|syn)`: whatever the bits mean, the packet is one of TCP. */
function impliedBy(left: unknown): readonly PacketCondition[] {
  const field = v.is(MaskedPayload, left) ? left['&'][0] : left;
  return v.is(PayloadField, field) ? readPayload(field.payload, []).implied : [];
}

interface PayloadMatch {
  /** What a packet is that has such a field; not subject to a negation. */
  readonly implied: readonly PacketCondition[];
  readonly on: PacketCondition['on'];
}

function readPayload(
  { protocol, field }: { readonly protocol: string; readonly field: string },
  values: readonly unknown[],
): PayloadMatch {
  switch (protocol) {
    case 'ip':
    case 'ip6': {
      const prefixes = [protocol === 'ip' ? ANY_IPV4 : ANY_IPV6];
      return { implied: [always({ field: 'source', prefixes })], on: readHeader(field, values) };
    }
    case 'tcp':
    case 'udp':
      return { implied: [always({ field: 'protocol', names: [protocol] })], on: readPort(field, values) };
    case 'th':
      return { implied: [], on: readPort(field, values) };
    case 'ether':
      return {
        implied: [],
        on: field === 'type' ? { field: 'frame', names: words(values) } : { field: 'unknown' },
      };
    case 'arp':
      return { implied: [ARP], on: isAlwaysSo(field, values) ? ARP.on : { field: 'unknown' } };
    default:
      return { implied: [], on: { field: 'traffic' } };
  }
}

/** What arptables writes into every rule: ARP for IPv4 on Ethernet, as on all links with neighbors. */
const isAlwaysSo = (field: string, [value, ...more]: readonly unknown[]): boolean =>
  more.length === 0 && value === { htype: 1, hlen: 6, plen: 4, ptype: 'ip' }[field];

function readHeader(field: string, values: readonly unknown[]): PacketCondition['on'] {
  if (field === 'protocol' || field === 'nexthdr') return { field: 'protocol', names: words(values) };
  if (field !== 'saddr' && field !== 'daddr') return { field: 'traffic' };
  const prefixes = values.map(toPrefix);
  return prefixes.every(prefix => prefix !== undefined)
    ? { field: field === 'saddr' ? 'source' : 'destination', prefixes }
    : { field: 'unknown' };
}

function readPort(field: string, values: readonly unknown[]): PacketCondition['on'] {
  const ranges = values.map(toRange);
  return field === 'dport' && ranges.every(range => range !== undefined)
    ? { field: 'destinationPort', ranges }
    : { field: 'traffic' };
}

function readMeta(key: string, values: readonly unknown[]): PacketCondition['on'] {
  switch (key) {
    case 'iif':
    case 'iifname':
      return { field: 'input', names: words(values) };
    case 'oif':
    case 'oifname':
      return { field: 'output', names: words(values) };
    case 'l4proto':
      return { field: 'protocol', names: words(values) };
    case 'mark':
      return readMark(values, 0xffffffff);
    case 'protocol':
      return { field: 'frame', names: words(values) };
    case 'nfproto': {
      const prefixes = words(values).flatMap(name =>
        /^(ipv4|ip)$/.test(name) ? [ANY_IPV4] : /^(ipv6|ip6)$/.test(name) ? [ANY_IPV6] : [],
      );
      return { field: 'source', prefixes };
    }
    default:
      return { field: key === 'pkttype' || key === 'length' ? 'traffic' : 'unknown' };
  }
}

function readMark(values: readonly unknown[], mask: number): PacketCondition['on'] {
  const [value] = values;
  return values.length === 1 && typeof value === 'number'
    ? { field: 'mark', mask, value }
    : { field: 'unknown' };
}

export const ANY_IPV4 = Prefix.parse('0.0.0.0/0');
export const ANY_IPV6 = Prefix.parse('::/0');

export const always = (on: PacketCondition['on']): PacketCondition => ({ not: false, on });

const ARP = always({ field: 'frame', names: ['arp'] });

const Elements = v.union([v.object({ set: v.array(v.unknown()) }), v.array(v.unknown())]);

/** The elements of a set by name or in place, or the one value. */
function valuesOf(right: unknown, sets: Sets): readonly unknown[] {
  if (typeof right === 'string' && right.startsWith('@')) return sets.get(right) ?? [right];
  if (!v.is(Elements, right)) return [right];
  return Array.isArray(right) ? right : right.set;
}

const words = (values: readonly unknown[]): string[] => values.map(value => String(elementOf(value)));

const Block = v.object({ prefix: v.object({ addr: v.string(), len: v.number() }) });

const Element = v.object({ elem: v.object({ val: v.unknown() }) });

/** Without its counter, timeout or comment. */
const elementOf = (value: unknown): unknown => (v.is(Element, value) ? value.elem.val : value);

function toPrefix(value: unknown): Prefix | undefined {
  const inner = elementOf(value);
  if (typeof inner === 'string')
    return Prefix.tryParse(inner) ?? Prefix.tryParse(`${inner}/${inner.includes(':') ? 128 : 32}`);
  return v.is(Block, inner) ? Prefix.tryParse(`${inner.prefix.addr}/${inner.prefix.len}`) : undefined;
}

const Range = v.object({ range: v.tuple([v.number(), v.number()]) });

function toRange(value: unknown): readonly [number, number] | undefined {
  const inner = elementOf(value);
  if (typeof inner === 'number') return [inner, inner];
  return v.is(Range, inner) ? inner.range : undefined;
}
