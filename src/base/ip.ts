/** An IPv4 or IPv6 address, a value: immutable, compared by content, printed in canonical form (RFC 5952). */
import { CodecError, ParseError } from './errors.ts';

export const FAMILIES = ['ipv4', 'ipv6'] as const;
export type Family = (typeof FAMILIES)[number];

/** Length of an address in bits. */
export const ADDRESS_BITS = { ipv4: 32, ipv6: 128 } as const satisfies Record<Family, number>;

/** For people. */
export const FAMILY_LABELS = { ipv4: 'IPv4', ipv6: 'IPv6' } as const satisfies Record<Family, string>;

/** Held as a number, not as bytes: a typed array takes 200 bytes and a host knows thousands of addresses. */
export class Ip {
  readonly family: Family;
  /** A number for IPv4, a bigint for IPv6. */
  readonly #value: number | bigint;
  #text: string | undefined;

  private constructor(family: Family, value: number | bigint) {
    this.family = family;
    this.#value = value;
  }

  /** Four bytes make an IPv4 address, sixteen an IPv6 one. @throws CodecError for any other length. */
  static fromBytes(bytes: Uint8Array): Ip {
    const [a = 0, b = 0, c = 0, d = 0] = bytes;
    if (bytes.byteLength === 4) return new Ip('ipv4', ((a << 24) | (b << 16) | (c << 8) | d) >>> 0);
    if (bytes.byteLength === 16) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return new Ip('ipv6', (view.getBigUint64(0) << 64n) | view.getBigUint64(8));
    }
    throw new CodecError('IP address', 0, '4 or 16 bytes', `${bytes.byteLength}`);
  }

  /** What `key` gave, or read elsewhere: 32 bits for IPv4, 128 for IPv6. @throws RangeError for any more. */
  static fromKey(key: number | bigint): Ip {
    if (typeof key === 'bigint') return Ip.fromBigInt('ipv6', key);
    if (key >>> 0 !== key) throw new RangeError(`${key} is no ipv4 address`);
    return new Ip('ipv4', key);
  }

  /** @throws RangeError when the value does not fit the family. */
  static fromBigInt(family: Family, value: bigint): Ip {
    const bits = ADDRESS_BITS[family];
    if (value < 0n || value >> BigInt(bits) !== 0n) throw new RangeError(`${value} is no ${family} address`);
    return new Ip(family, family === 'ipv4' ? Number(value) : value);
  }

  /** Dotted quad or RFC 4291 text, without a zone. @throws ParseError */
  static parse(text: string): Ip {
    const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
    if (bytes === undefined) {
      throw new ParseError('an IP address', text, 'want IPv4 dotted quad or IPv6 text');
    }
    return Ip.fromBytes(bytes);
  }

  static tryParse(text: string): Ip | undefined {
    try {
      return Ip.parse(text);
    } catch {
      return undefined;
    }
  }

  /**
   * The address as a number, or for IPv6 as a bigint: equal for equal addresses only, so maps can be keyed by it, and
   * made back into the address by `fromKey`.
   */
  get key(): number | bigint {
    return this.#value;
  }

  get bytes(): Uint8Array {
    const value = this.#value;
    if (typeof value === 'number') return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
    const view = new DataView(new ArrayBuffer(16));
    view.setBigUint64(0, value >> 64n);
    view.setBigUint64(8, BigInt.asUintN(64, value));
    return new Uint8Array(view.buffer);
  }

  toBigInt(): bigint {
    return BigInt(this.#value);
  }

  /** The address `count` further on; wraps never. @throws RangeError past the end of the address space. */
  plus(count: bigint | number): Ip {
    if (typeof this.#value === 'number' && typeof count === 'number') return Ip.fromKey(this.#value + count);
    return Ip.fromBigInt(this.family, this.toBigInt() + BigInt(count));
  }

  compare(other: Ip): number {
    if (this.family !== other.family) return this.family === 'ipv4' ? -1 : 1;
    if (this.#value === other.#value) return 0;
    return this.#value < other.#value ? -1 : 1;
  }

  equals(other: Ip | undefined): boolean {
    return other !== undefined && this.compare(other) === 0;
  }

  get isUnspecified(): boolean {
    return this.toBigInt() === 0n;
  }

  /** 127.0.0.0/8 or ::1. */
  get isLoopback(): boolean {
    return this.family === 'ipv4' ? this.#leading(8) === 127 : this.toBigInt() === 1n;
  }

  /** 224.0.0.0/4 or ff00::/8. */
  get isMulticast(): boolean {
    return this.family === 'ipv4' ? this.#leading(4) === 0xe : this.#leading(8) === 0xff;
  }

  /** 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291). */
  get isLinkLocal(): boolean {
    return this.family === 'ipv4' ? this.#leading(16) === 0xa9fe : this.#leading(10) === 0x3fa;
  }

  /** 255.255.255.255 or another address of the reserved class E (240.0.0.0/4). */
  get isReserved(): boolean {
    return this.family === 'ipv4' && this.#leading(4) === 0xf;
  }

  /** The first `bits` of the address, at most 32. */
  #leading(bits: number): number {
    return Number(this.toBigInt() >> BigInt(ADDRESS_BITS[this.family] - bits));
  }

  toString(): string {
    this.#text ??= this.family === 'ipv4' ? this.bytes.join('.') : formatIpv6(this.bytes);
    return this.#text;
  }

  toJSON(): string {
    return this.toString();
  }
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    // A leading zero is refused: some parsers read it as octal, so the text is ambiguous.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap(group => [group >> 8, group & 0xff]));
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (mayEndInIpv4 && index === parts.length - 1 && part.includes('.')) {
      const [a = 0, b = 0, c = 0, d = 0] = parseIpv4(part) ?? [];
      if (parseIpv4(part) === undefined) return undefined;
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

/** Canonical text: lower case, no leading zeros, the longest run of two or more zero groups as `::`. */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from(
    { length: 8 },
    (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0),
  );
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; ) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
    start = Math.max(end, start + 1);
  }
  const hex = (part: number[]) => part.map(group => group.toString(16)).join(':');
  if (best.start < 0) return hex(groups);
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}
