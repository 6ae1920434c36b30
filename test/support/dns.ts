/** What tests of the resolver share: queries as bytes, and what is in an answer. */
import { Reader, written } from '../../src/base/bytes.ts';
import { Ip } from '../../src/base/ip.ts';
import { CLASS, TYPE } from '../../src/dns/constants.ts';
import { writeName } from '../../src/dns/domain-name.ts';

export interface QueryShape {
  readonly id?: number;
  /** Recursion is wanted unless given. */
  readonly flags?: number;
  readonly class?: number;
  /** Bytes of UDP that the asker takes; no OPT unless given. */
  readonly size?: number;
  readonly version?: number;
}

/** @param type its name: `A` */
export function queryBytes(
  name: string,
  type: keyof typeof TYPE | number = 'A',
  shape: QueryShape = {},
): Uint8Array {
  const { id = 7, flags = 0x0100, size, version = 0 } = shape;
  return written(writer => {
    writer
      .u16be(id)
      .u16be(flags)
      .u16be(1)
      .u16be(0)
      .u16be(0)
      .u16be(size === undefined ? 0 : 1);
    writeName(writer, name);
    writer.u16be(typeof type === 'number' ? type : TYPE[type]).u16be(shape.class ?? CLASS.IN);
    if (size !== undefined) writer.u8(0).u16be(TYPE.OPT).u16be(size).u8(0).u8(version).u16be(0x8000).u16be(0);
  });
}

export interface ReadAnswer {
  readonly id: number;
  readonly flags: number;
  readonly rcode: number;
  readonly isCut: boolean;
  readonly isOwn: boolean;
  /** `web A 10.9.1.2`, in the order of the answer. */
  readonly answers: readonly string[];
  readonly authorities: readonly string[];
  /** Upper bits of the rcode in OPT; undefined without one. */
  readonly options: number | undefined;
}

export function readAnswer(bytes: Uint8Array): ReadAnswer {
  const reader = new Reader(bytes, 'an answer');
  const [id, flags] = [reader.u16be(), reader.u16be()];
  const counts = [0, 0, 0, 0].map(() => reader.u16be());
  for (let left = counts[0] ?? 0; left > 0; left--) {
    nameIn(bytes, reader);
    reader.skip(4);
  }
  let options: number | undefined;
  const [answers, authorities] = counts.slice(1).map(count =>
    Array.from({ length: count }, () => {
      const name = nameIn(bytes, reader);
      const type = reader.u16be();
      reader.skip(2);
      if (type === TYPE.OPT) options = reader.u8();
      reader.skip(type === TYPE.OPT ? 3 : 4);
      const end = reader.u16be() + reader.offset;
      const data =
        type === TYPE.A || type === TYPE.AAAA
          ? `${Ip.fromBytes(bytes.slice(reader.offset, end))}`
          : type === TYPE.OPT
            ? ''
            : nameIn(bytes, reader);
      reader.seek(end);
      const word = Object.entries(TYPE).find(([, number]) => number === type)?.[0] ?? type;
      return `${name} ${word} ${data}`;
    }),
  ) as [string[], string[]];
  return {
    id,
    flags,
    rcode: flags & 0xf,
    isCut: (flags & 0x0200) !== 0,
    isOwn: (flags & 0x0400) !== 0,
    answers,
    authorities,
    options,
  };
}

/** With pointers, of which each leads back. */
function nameIn(bytes: Uint8Array, reader: Reader): string {
  const labels: string[] = [];
  let from = reader;
  for (let length = from.u8(); length > 0; length = from.u8()) {
    if (length < 64) labels.push(Buffer.from(from.bytes(length)).toString('latin1'));
    else {
      const at = ((length & 0x3f) << 8) | from.u8();
      from = new Reader(bytes, 'an answer');
      from.seek(at);
    }
  }
  return labels.join('.');
}
