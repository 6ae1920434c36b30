/**
 * Addresses of links: struct ifaddrmsg, include/uapi/linux/if_addr.h.
 *
 *      0      1      2      3      4               8
 *     +------+------+------+------+---------------+
 *     |family|length|flags |scope | ifindex       |     flags above 0xff only fit into IFA_FLAGS
 *     +------+------+------+------+---------------+
 */
import type { Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import type { Family, Ip } from '../../base/ip.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, ip, text, u32 } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import { IFA_ADDRESS, IFA_BROADCAST, IFA_CACHEINFO, IFA_FLAGS, IFA_LABEL, IFA_LOCAL } from './constants.ts';
import { familyNumber, familyOf } from './family.ts';
import type { Address, NewAddress } from './objects.ts';

export interface AddressHeader {
  readonly family: number;
  readonly length: number;
  readonly flags: number;
  readonly scope: number;
  readonly index: number;
}

const ifaddrmsg: Struct<AddressHeader> = {
  encode: (writer, { family, length, flags, scope, index }) =>
    writer.u8(family).u8(length).u8(flags).u8(scope).u32(index),
  decode: reader => ({
    family: reader.u8(),
    length: reader.u8(),
    flags: reader.u8(),
    scope: reader.u8(),
    index: reader.u32(),
  }),
};

export const addressMessage = new MessageCodec(
  'ifaddrmsg',
  ifaddrmsg,
  attributes({
    local: one(IFA_LOCAL, ip),
    address: one(IFA_ADDRESS, ip),
    label: one(IFA_LABEL, text),
    broadcast: one(IFA_BROADCAST, ip),
    cacheInfo: one(IFA_CACHEINFO, bytes),
    flags: one(IFA_FLAGS, u32),
  }),
);

export function writeAddress(
  writer: Writer,
  address: NewAddress & { peer?: Ip } & Partial<Pick<Address, 'unknown'>>,
): void {
  const { ip: local, length, index, flags = 0, scope = 0, label, broadcast, peer = local, unknown } = address;
  addressMessage.write(
    writer,
    { family: familyNumber(local.family), length, flags: flags & 0xff, scope, index },
    { local, address: peer, label, broadcast, flags: flags > 0xff ? flags : undefined, unknown },
  );
}

/** undefined for an address of another family. @throws CodecError */
export function decodeAddress(payload: Uint8Array): Address | undefined {
  const { header, attributes: found } = addressMessage.decode(payload);
  const family = familyOf(header.family);
  // IPv6 leaves IFA_LOCAL away unless there is a peer; IPv4 repeats the address as its own peer.
  const own = found.local ?? found.address;
  if (family === undefined || own === undefined) return undefined;
  const isPeer = found.address !== undefined && !found.address.equals(own);
  return defined({
    index: header.index,
    family,
    ip: own,
    length: header.length,
    scope: header.scope,
    flags: found.flags ?? header.flags,
    label: found.label,
    broadcast: found.broadcast,
    peer: isPeer ? found.address : undefined,
    unknown: found.unknown,
  });
}

/** The request for a list of addresses. */
export function encodeAddressQuery(filter: {
  index?: number | undefined;
  family?: Family | undefined;
}): Uint8Array {
  const family = familyNumber(filter.family);
  return addressMessage.encode({ family, length: 0, flags: 0, scope: 0, index: filter.index ?? 0 }, {});
}
