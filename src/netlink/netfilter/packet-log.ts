/**
 * Packets that the kernel logs to a program (net/netfilter/nfnetlink_log.c). The trace of iptables-legacy comes this way:
 * each rule that applies to a marked packet is a log message with the packet in it.
 */
import { written } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, text, u32be } from '../attribute-types.ts';
import { MessageCodec } from '../message.ts';
import type { Change } from '../protocol.ts';
import * as constants from './constants.ts';
import { logType, nfgenmsg } from './header.ts';

export const logConfigMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    command: one(constants.NFULA_CFG_CMD, bytes),
    mode: one(constants.NFULA_CFG_MODE, bytes),
    threshold: one(constants.NFULA_CFG_QTHRESH, u32be),
  }),
);

export const loggedPacketMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    mark: one(constants.NFULA_MARK, u32be),
    input: one(constants.NFULA_IFINDEX_INDEV, u32be),
    output: one(constants.NFULA_IFINDEX_OUTDEV, u32be),
    payload: one(constants.NFULA_PAYLOAD, bytes),
    prefix: one(constants.NFULA_PREFIX, text),
  }),
);

export interface LoggedPacket {
  readonly family: 'ip' | 'ip6';
  /** What the one who logs says of it. */
  readonly prefix: string;
  /** From its IP header on; the beginning only. */
  readonly payload: Uint8Array;
  /** Indexes of links. */
  readonly input?: number;
  readonly output?: number;
}

/** Headers of IP and of what is in it. */
const BYTES_OF_A_PACKET = 96;

/** What makes the kernel send a group's packets to the socket that this is sent over, each at once. */
export function bindLogGroup(group: number): Change[] {
  const header = { family: 0, version: 0, resource: group };
  const change = (values: Parameters<typeof logConfigMessage.write>[2]): Change => ({
    what: `receive the packets of log group ${group}`,
    type: logType(constants.NFULNL_MSG_CONFIG),
    flags: 0,
    write: writer => logConfigMessage.write(writer, header, values),
  });
  // struct nfulnl_msg_config_mode.
  const mode = written(writer => writer.u32be(BYTES_OF_A_PACKET).u8(constants.NFULNL_COPY_PACKET).u8(0));
  return [
    change({ command: Uint8Array.of(constants.NFULNL_CFG_CMD_BIND) }),
    change({ mode }),
    change({ threshold: 1 }),
  ];
}

/** undefined for a packet of another family. @throws CodecError */
export function decodeLoggedPacket(message: Uint8Array): LoggedPacket | undefined {
  const { header, attributes: found } = loggedPacketMessage.decode(message);
  const { prefix = '', payload = new Uint8Array(), input, output } = found;
  const { family } = header;
  if (family !== constants.NFPROTO_IPV4 && family !== constants.NFPROTO_IPV6) return undefined;
  return defined({
    family: family === constants.NFPROTO_IPV4 ? ('ip' as const) : ('ip6' as const),
    prefix,
    payload,
    input,
    output,
  });
}
