/**
 * What all messages of netfilter begin with: struct nfgenmsg, include/uapi/linux/netfilter/nfnetlink.h. The upper byte
 * of a message's type is the subsystem, the lower one the message. Numbers in attributes are big-endian, unlike
 * everywhere else in netlink.
 *
 *      0       1        2          4
 *     +-------+--------+----------+------- - -
 *     | family| version| resource | attributes
 *     +-------+--------+----------+------- - -
 */
import type { Struct } from '../message.ts';
import { NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_NFTABLES, NFNL_SUBSYS_ULOG } from './constants.ts';

export interface NetfilterHeader {
  /** NFPROTO_*. */
  readonly family: number;
  readonly version: number;
  /** Of a batch: the subsystem; of a log: the group. */
  readonly resource: number;
}

export const nfgenmsg: Struct<NetfilterHeader> = {
  encode: (writer, { family, version, resource }) => writer.u8(family).u8(version).u16be(resource),
  decode: reader => ({ family: reader.u8(), version: reader.u8(), resource: reader.u16be() }),
};

/** Type of a message of nftables, NFT_MSG_*. */
export const nftablesType = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message;

/** Type of a message about logged packets, NFULNL_MSG_*. */
export const logType = (message: number): number => (NFNL_SUBSYS_ULOG << 8) | message;

/** Type of a message about tracked connections, IPCTNL_MSG_CT_*. */
export const conntrackType = (message: number): number => (NFNL_SUBSYS_CTNETLINK << 8) | message;
