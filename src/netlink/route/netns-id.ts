/**
 * The number that this network namespace has for another one, as in `Link.netnsId`: struct rtgenmsg and NETNSA_*,
 * include/uapi/linux/net_namespace.h.
 *
 *      0      1              4
 *     +------+--------------+
 *     |family| padding      |
 *     +------+--------------+
 */
import { attributes, one } from '../attribute.ts';
import { i32, u32 } from '../attribute-types.ts';
import { MessageCodec } from '../message.ts';
import { NETNSA_FD, NETNSA_NSID } from './constants.ts';

const message = new MessageCodec<Record<never, never>, ReturnType<typeof table>>(
  'rtgenmsg',
  {
    encode: writer => writer.u32(0),
    decode(reader) {
      reader.skip(4);
      return {};
    },
  },
  attributes(table()),
);

function table() {
  return { id: one(NETNSA_NSID, i32), fd: one(NETNSA_FD, u32) } as const;
}

/** @param fd an open file of the other namespace. */
export const encodeNetnsIdQuery = (fd: number): Uint8Array => message.encode({}, { fd });

/** undefined when it has none: no link of this namespace leads there. @throws CodecError */
export function decodeNetnsId(payload: Uint8Array): number | undefined {
  const { id = -1 } = message.decode(payload).attributes;
  return id < 0 ? undefined : id;
}
