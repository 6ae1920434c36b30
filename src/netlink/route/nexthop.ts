/**
 * Next hop objects (kernel 5.3): struct nhmsg, include/uapi/linux/nexthop.h.
 *
 *      0      1      2        3      4               8
 *     +------+------+--------+------+---------------+
 *     |family|scope |protocol| 0    | flags         |
 *     +------+------+--------+------+---------------+
 */
import type { Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, flag, ip, u32 } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import { NHA_BLACKHOLE, NHA_GATEWAY, NHA_GROUP, NHA_ID, NHA_OIF } from './constants.ts';
import { familyNumber, familyOf } from './family.ts';
import type { NewNexthop, Nexthop } from './objects.ts';

export interface NexthopHeader {
  readonly family: number;
  readonly scope: number;
  readonly protocol: number;
  readonly flags: number;
}

const ANY_NEXTHOP: NexthopHeader = { family: 0, scope: 0, protocol: 0, flags: 0 };

const nhmsg: Struct<NexthopHeader> = {
  encode: (writer, { family, scope, protocol, flags }) =>
    writer.u8(family).u8(scope).u8(protocol).u8(0).u32(flags),
  decode(reader) {
    const [family, scope, protocol] = [reader.u8(), reader.u8(), reader.u8()];
    reader.skip(1);
    return { family, scope, protocol, flags: reader.u32() };
  },
};

export const nexthopMessage = new MessageCodec(
  'nhmsg',
  nhmsg,
  attributes({
    id: one(NHA_ID, u32),
    group: one(NHA_GROUP, bytes),
    blackhole: one(NHA_BLACKHOLE, flag),
    oif: one(NHA_OIF, u32),
    gateway: one(NHA_GATEWAY, ip),
  }),
);

export function writeNexthop(
  writer: Writer,
  nexthop: Omit<NewNexthop, 'family'> & Partial<Pick<Nexthop, 'family' | 'scope' | 'unknown'>>,
): void {
  const { id, family, scope = 0, protocol = 0, flags = 0, gateway, oif, blackhole, unknown } = nexthop;
  nexthopMessage.write(
    writer,
    { family: familyNumber(family), scope, protocol, flags },
    { id, oif, gateway, blackhole, unknown },
  );
}

/** A request about one next hop by its id alone. */
export function writeNexthopId(writer: Writer, id: number): void {
  nexthopMessage.write(writer, ANY_NEXTHOP, { id });
}

/** undefined without an id. @throws CodecError */
export function decodeNexthop(payload: Uint8Array): Nexthop | undefined {
  const { header, attributes: found } = nexthopMessage.decode(payload);
  if (found.id === undefined) return undefined;
  return defined({
    id: found.id,
    family: familyOf(header.family),
    scope: header.scope,
    protocol: header.protocol,
    flags: header.flags,
    gateway: found.gateway,
    oif: found.oif,
    blackhole: found.blackhole,
    unknown: found.unknown,
  });
}

/** The request for a list of next hops: all, or those of one link. */
export function encodeNexthopQuery(filter: { readonly oif?: number } = {}): Uint8Array {
  return nexthopMessage.encode(ANY_NEXTHOP, filter);
}
