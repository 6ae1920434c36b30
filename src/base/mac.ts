/** A 48-bit Ethernet address (EUI-48), a value: immutable, compared by content. */
import { CodecError, ParseError } from './errors.ts';

export class Mac {
  readonly #bytes: Uint8Array;
  readonly #text: string;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#text = Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':');
  }

  /** @throws CodecError unless there are exactly six bytes. */
  static fromBytes(bytes: Uint8Array): Mac {
    if (bytes.byteLength !== 6) throw new CodecError('MAC address', 0, '6 bytes', `${bytes.byteLength}`);
    return new Mac(bytes.slice());
  }

  /** `c6:d2:32:6f:8f:44`, either case. @throws ParseError */
  static parse(text: string): Mac {
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
      throw new ParseError('a MAC address', text, 'want six hex pairs joined by colons');
    }
    return new Mac(Uint8Array.from(text.split(':'), pair => Number.parseInt(pair, 16)));
  }

  /** A random address with the locally-administered bit set and the group bit clear (IEEE 802, clause 8.4). */
  static random(randomBytes: (count: number) => Uint8Array): Mac {
    const bytes = Uint8Array.from(randomBytes(6));
    bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
    return new Mac(bytes);
  }

  get bytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /** Whether a single station may own it: not a group address and not all zeros. */
  get isUnicast(): boolean {
    return ((this.#bytes[0] ?? 0) & 1) === 0 && this.#bytes.some(byte => byte !== 0);
  }

  equals(other: Mac | undefined): boolean {
    return other !== undefined && other.#text === this.#text;
  }

  toString(): string {
    return this.#text;
  }

  toJSON(): string {
    return this.#text;
  }
}
