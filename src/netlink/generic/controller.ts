/**
 * Generic netlink: kernel modules that do not have a protocol of their own share NETLINK_GENERIC. Each is a family with
 * a name; its number is the type of its messages and differs from boot to boot, so it is asked of the controller,
 * which is a family itself. WireGuard is configured this way, and ethtool's settings are; this folder is what such a
 * family needs before its own messages: its number and its multicast groups. The families themselves do not belong here.
 *
 * A message is struct genlmsghdr and attributes, include/uapi/linux/genetlink.h:
 *
 *      0         1         2         4
 *     +---------+---------+---------+------- - -
 *     | command | version | 0       | attributes
 *     +---------+---------+---------+------- - -
 */
import { defined } from '../../base/defined.ts';
import { attributes, one } from '../attribute.ts';
import { nested, text, u16, u32 } from '../attribute-types.ts';
import { type Message, MessageCodec, type Struct } from '../message.ts';
import type { NetlinkProtocol } from '../protocol.ts';

/** The controller's own number, the only fixed one. */
export const GENL_ID_CTRL = 16;

const CTRL_CMD_GETFAMILY = 3;
const CTRL_VERSION = 2;

const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const CTRL_ATTR_VERSION = 3;
const CTRL_ATTR_MCAST_GROUPS = 7;
const CTRL_ATTR_MCAST_GRP_NAME = 1;
const CTRL_ATTR_MCAST_GRP_ID = 2;

/** A kernel module that speaks generic netlink. */
export interface GenericFamily {
  /** Type of its messages. */
  readonly id: number;
  readonly name: string;
  readonly version?: number;
  /** Numbers of its multicast groups, by name. */
  readonly groups: ReadonlyMap<string, number>;
}

interface GenericHeader {
  /** CTRL_CMD_*, or another family's. */
  readonly command: number;
  readonly version: number;
}

const genlmsghdr: Struct<GenericHeader> = {
  encode: (writer, { command, version }) => writer.u8(command).u8(version).u16(0),
  decode(reader) {
    const [command, version] = [reader.u8(), reader.u8()];
    reader.skip(2);
    return { command, version };
  },
};

const groupAttributes = attributes({
  name: one(CTRL_ATTR_MCAST_GRP_NAME, text),
  id: one(CTRL_ATTR_MCAST_GRP_ID, u32),
});

/** Messages of the controller. */
export const controllerMessage = new MessageCodec(
  'genlmsghdr',
  genlmsghdr,
  attributes({
    id: one(CTRL_ATTR_FAMILY_ID, u16),
    name: one(CTRL_ATTR_FAMILY_NAME, text),
    version: one(CTRL_ATTR_VERSION, u32),
    // An array: its items are numbered, so that no table has names for them.
    groups: one(CTRL_ATTR_MCAST_GROUPS, nested(attributes({}))),
  }),
);

export const GENERIC_PROTOCOL: NetlinkProtocol = {
  number: 16,
  messageName: type => (type === GENL_ID_CTRL ? 'nlctrl' : undefined),
  decode: ({ type, payload }: Message) =>
    type === GENL_ID_CTRL ? controllerMessage.decode(payload) : undefined,
};

/** The question which family has this name. */
export function encodeFamilyQuery(name: string): Uint8Array {
  return controllerMessage.encode({ command: CTRL_CMD_GETFAMILY, version: CTRL_VERSION }, { name });
}

/** undefined without a number or a name. @throws CodecError */
export function decodeFamily(payload: Uint8Array): GenericFamily | undefined {
  const { id, name, version, groups } = controllerMessage.decode(payload).attributes;
  if (id === undefined || name === undefined) return undefined;
  const found = (groups?.unknown ?? []).map(item =>
    groupAttributes.fromBytes(item.payload, 'multicast group'),
  );
  return defined({
    id,
    name,
    version,
    groups: new Map(found.flatMap(group => (group.name === undefined ? [] : [[group.name, group.id ?? 0]]))),
  });
}
