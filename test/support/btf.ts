/** BTF of a small kernel, as bytes: what a compiler would write. */
import { written } from '../../src/base/bytes.ts';

/** One type: `[kind, name, count or 0, size or type, words that the kind adds]`. */
type Entry = readonly [
  kind: number,
  name: string,
  count: number,
  type: number,
  extra?: readonly (number | string)[],
];

/**
 * struct list { long next; };                                   3
 * struct packet { list list; union { struct { u16 kind; u8 bits:4; }; long raw; }; const owner *owner; };
 * struct owner { number_t id; };  typedef const long number_t;
 * enum reason { NONE = 0, LOST = 2 };  typedef void (*btf_trace_drop)(void *, long);
 */
const TYPES: readonly Entry[] = [
  /* 1 */ [1, 'long', 0, 8, [64]],
  /* 2 */ [1, 'short', 0, 2, [16]],
  /* 3 */ [4, 'list', 1, 8, ['next', 1, 0]],
  /* 4 */ [4, '', 1, 8, ['kind', 2, 16]],
  /* 5 */ [5, '', 2, 8, ['', 4, 0, 'raw', 1, 0]],
  /* 6 */ [2, '', 0, 8],
  /* 7 */ [4, 'packet', 3, 24, ['list', 3, 0, '', 5, 64, 'owner', 6, 128]],
  /* 8 */ [4, 'owner', 1, 16, ['id', 10, 64]],
  /* 9 */ [10, '', 0, 1],
  /* 10 */ [8, 'number_t', 0, 9],
  /* 11 */ [6, 'reason', 2, 4, ['NONE', 0, 'LOST', 2]],
  /* 12 */ [13, '', 2, 0, ['', 6, '', 1]],
  /* 13 */ [2, '', 0, 12],
  /* 14 */ [8, 'btf_trace_drop', 0, 13],
  // One of each other kind, to be passed over: array, forward, function, variable, section, float, tags, enum64.
  [3, '', 0, 0, [1, 1, 4]],
  [7, 'later', 0, 0],
  [12, 'main', 0, 12],
  [14, 'errno', 0, 1, [0]],
  [15, '.data', 1, 8, [18, 0, 8]],
  [16, 'float', 0, 4],
  [17, 'tag', 0, 3, [0]],
  [18, 'user', 0, 1],
  [19, 'large', 1, 8, ['HUGE', 0, 1]],
  /* 24 */ [4, 'bits', 2, 8, ['low', 1, 4 << 24, 'high', 1, (4 << 24) | 64]],
];

/** Types whose members share their words with the sizes of bit fields. */
const WITH_BIT_FIELDS: ReadonlySet<string> = new Set(['bits']);

export function smallKernel(): Uint8Array {
  const strings = new Map<string, number>([['', 0]]);
  let length = 1;
  const offsetOf = (text: string) => {
    const known = strings.get(text);
    if (known !== undefined) return known;
    const at = length;
    strings.set(text, at);
    length += text.length + 1;
    return at;
  };
  const types = written(writer => {
    for (const [kind, name, count, type, extra = []] of TYPES) {
      const flag = WITH_BIT_FIELDS.has(name) ? 0x8000_0000 : 0;
      writer
        .u32(offsetOf(name))
        .u32((flag | (kind << 24) | count) >>> 0)
        .u32(type);
      for (const word of extra) writer.u32(typeof word === 'string' ? offsetOf(word) : word);
    }
  });
  return written(writer => {
    writer.u16(0xeb9f).u8(1).u8(0).u32(24).u32(0).u32(types.byteLength).u32(types.byteLength).u32(length);
    writer.bytes(types);
    for (const text of strings.keys()) writer.bytes(new TextEncoder().encode(`${text}\0`));
  });
}
