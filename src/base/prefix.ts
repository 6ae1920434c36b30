/** A block of addresses: a network address and a length, `10.3.4.0/24`. Host bits are always zero. */
import { ParseError } from './errors.ts';
import { ADDRESS_BITS, type Family, Ip } from './ip.ts';

export class Prefix {
  /** The network address: the first of the block. */
  readonly ip: Ip;
  readonly length: number;

  private constructor(ip: Ip, length: number) {
    this.ip = ip;
    this.length = length;
  }

  /** The block of this length that holds `ip`. @throws RangeError when the length does not fit the family. */
  static of(ip: Ip, length: number): Prefix {
    const bits = ADDRESS_BITS[ip.family];
    if (!Number.isInteger(length) || length < 0 || length > bits) {
      throw new RangeError(`/${length} does not fit ${ip.family}`);
    }
    const hostBits = BigInt(bits - length);
    const value = ip.toBigInt();
    const network = (value >> hostBits) << hostBits;
    return new Prefix(network === value ? ip : Ip.fromBigInt(ip.family, network), length);
  }

  /** The block of one address. */
  static ofOne(ip: Ip): Prefix {
    return new Prefix(ip, ADDRESS_BITS[ip.family]);
  }

  /** `10.3.4.5/24` is read as `10.3.4.0/24`. @throws ParseError */
  static parse(text: string): Prefix {
    const { ip, length } = parseInterfaceAddress(text);
    return Prefix.of(ip, length);
  }

  /** undefined for what `parse` refuses. */
  static tryParse(text: string): Prefix | undefined {
    try {
      return Prefix.parse(text);
    } catch {
      return undefined;
    }
  }

  get family(): Family {
    return this.ip.family;
  }

  /** A number, or for IPv6 a bigint: equal for equal blocks only, so maps can be keyed by it. */
  get key(): number | bigint {
    const { key } = this.ip;
    return typeof key === 'number' ? key * 64 + this.length : key * 256n + BigInt(this.length);
  }

  /** Number of addresses in the block. */
  get size(): bigint {
    return 1n << BigInt(ADDRESS_BITS[this.family] - this.length);
  }

  get last(): Ip {
    return this.ip.plus(this.size - 1n);
  }

  contains(other: Ip | Prefix): boolean {
    if (other.family !== this.family) return false;
    if (other instanceof Prefix) return other.length >= this.length && this.contains(other.ip);
    const hostBits = BigInt(ADDRESS_BITS[this.family] - this.length);
    return other.toBigInt() >> hostBits === this.ip.toBigInt() >> hostBits;
  }

  overlaps(other: Prefix): boolean {
    return this.contains(other) || other.contains(this);
  }

  equals(other: Prefix | undefined): boolean {
    return other !== undefined && this.length === other.length && this.ip.equals(other.ip);
  }

  compare(other: Prefix): number {
    return this.ip.compare(other.ip) || this.length - other.length;
  }

  toString(): string {
    return `${this.ip}/${this.length}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** An address together with the length of its network, host bits kept, as on a link: `10.3.4.1/24`. */
export interface InterfaceAddress {
  readonly ip: Ip;
  readonly length: number;
}

/** @throws ParseError */
export function parseInterfaceAddress(text: string): InterfaceAddress {
  const [address = '', bits = '', ...more] = text.split('/');
  const ip = Ip.tryParse(address);
  if (ip === undefined || more.length > 0 || !/^\d{1,3}$/.test(bits)) {
    throw new ParseError(
      'an address with a prefix length',
      text,
      'want for example 10.3.4.0/24 or fd00::/64',
    );
  }
  const length = Number(bits);
  if (length > ADDRESS_BITS[ip.family]) {
    throw new ParseError('an address with a prefix length', text, `/${length} is longer than the address`);
  }
  return { ip, length };
}

/** `10.3.4.1/24`, as `parseInterfaceAddress` reads it. */
export function formatInterfaceAddress({ ip, length }: InterfaceAddress): string {
  return `${ip}/${length}`;
}
