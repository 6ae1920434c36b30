/** A 48-bit Ethernet address (EUI-48), a value: immutable, compared by content. */
import { CodecError, ParseError } from './errors.ts';

/** Held as a number, for the same reason as Ip. */
export class Mac {
  readonly #value: number;
  #text: string | undefined;

  private constructor(value: number) {
    this.#value = value;
  }

  /** @throws CodecError unless there are exactly six bytes. */
  static fromBytes(bytes: Uint8Array): Mac {
    if (bytes.byteLength !== 6) throw new CodecError('MAC address', 0, '6 bytes', `${bytes.byteLength}`);
    return new Mac(bytes.reduce((value, byte) => value * 256 + byte, 0));
  }

  /** What `key` gave, or read elsewhere: 48 bits. @throws RangeError for any more. */
  static fromKey(key: number): Mac {
    if (!(Number.isInteger(key) && key >= 0 && key < 2 ** 48))
      throw new RangeError(`${key} is no MAC address`);
    return new Mac(key);
  }

  /** `c6:d2:32:6f:8f:44`, either case. @throws ParseError */
  static parse(text: string): Mac {
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
      throw new ParseError('a MAC address', text, 'want six hex pairs joined by colons');
    }
    return new Mac(Number.parseInt(text.replaceAll(':', ''), 16));
  }

  /** A random address with the locally-administered bit set and the group bit clear (IEEE 802, clause 8.4). */
  static random(randomBytes: (count: number) => Uint8Array): Mac {
    const bytes = Uint8Array.from(randomBytes(6));
    bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
    return Mac.fromBytes(bytes);
  }

  /** The address as a number: equal for equal addresses only, so maps can be keyed by it. */
  get key(): number {
    return this.#value;
  }

  get bytes(): Uint8Array {
    const [high, low] = [Math.floor(this.#value / 2 ** 32), this.#value % 2 ** 32];
    return Uint8Array.of(high >> 8, high, low >>> 24, low >>> 16, low >>> 8, low);
  }

  /** Whether a single station may own it: not a group address and not all zeros. */
  get isUnicast(): boolean {
    return this.#value !== 0 && (Math.floor(this.#value / 2 ** 40) & 1) === 0;
  }

  equals(other: Mac | undefined): boolean {
    return other !== undefined && other.#value === this.#value;
  }

  toString(): string {
    this.#text ??= this.#value
      .toString(16)
      .padStart(12, '0')
      .replace(/..(?!$)/g, '$&:');
    return this.#text;
  }

  toJSON(): string {
    return this.toString();
  }
}
