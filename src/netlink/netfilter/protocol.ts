/** NETLINK_NETFILTER for the connection and for `TULLE_DEBUG=netlink`: names of its messages, and how each one is read. */
import { NETLINK_NETFILTER } from '../../sys/netlink-socket.ts';
import type { Message } from '../message.ts';
import type { DecodedMessage, NetlinkProtocol } from '../protocol.ts';
import { conntrackMessage } from './conntrack.ts';
import {
  IPCTNL_MSG_CT_DELETE,
  IPCTNL_MSG_CT_GET,
  IPCTNL_MSG_CT_NEW,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFT_MSG_DELSETELEM,
  NFT_MSG_DELTABLE,
  NFT_MSG_GETOBJ,
  NFT_MSG_GETSETELEM,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWOBJ,
  NFT_MSG_NEWRULE,
  NFT_MSG_NEWSETELEM,
  NFT_MSG_NEWTABLE,
  NFT_MSG_TRACE,
  NFULNL_MSG_CONFIG,
  NFULNL_MSG_PACKET,
} from './constants.ts';
import { conntrackType, logType, nftablesType } from './header.ts';
import { logConfigMessage, loggedPacketMessage } from './packet-log.ts';
import { nftElementsMessage, nftObjectMessage } from './set.ts';
import { nftChainMessage, nftRuleMessage, nftTableMessage } from './table.ts';
import { traceMessage } from './trace-event.ts';

interface KnownMessage {
  readonly name: string;
  decode?(payload: Uint8Array): DecodedMessage;
}

const elements = (bytes: Uint8Array) => nftElementsMessage.decode(bytes);
const connection = (bytes: Uint8Array) => conntrackMessage.decode(bytes);
const object = (bytes: Uint8Array) => nftObjectMessage.decode(bytes);

const MESSAGES: ReadonlyMap<number, KnownMessage> = new Map<number, KnownMessage>([
  [NFNL_MSG_BATCH_BEGIN, { name: 'NFNL_MSG_BATCH_BEGIN' }],
  [NFNL_MSG_BATCH_END, { name: 'NFNL_MSG_BATCH_END' }],
  [
    nftablesType(NFT_MSG_NEWTABLE),
    { name: 'NFT_MSG_NEWTABLE', decode: bytes => nftTableMessage.decode(bytes) },
  ],
  [
    nftablesType(NFT_MSG_DELTABLE),
    { name: 'NFT_MSG_DELTABLE', decode: bytes => nftTableMessage.decode(bytes) },
  ],
  [
    nftablesType(NFT_MSG_NEWCHAIN),
    { name: 'NFT_MSG_NEWCHAIN', decode: bytes => nftChainMessage.decode(bytes) },
  ],
  [nftablesType(NFT_MSG_NEWRULE), { name: 'NFT_MSG_NEWRULE', decode: bytes => nftRuleMessage.decode(bytes) }],
  [
    logType(NFULNL_MSG_CONFIG),
    { name: 'NFULNL_MSG_CONFIG', decode: bytes => logConfigMessage.decode(bytes) },
  ],
  [
    logType(NFULNL_MSG_PACKET),
    { name: 'NFULNL_MSG_PACKET', decode: bytes => loggedPacketMessage.decode(bytes) },
  ],
  [conntrackType(IPCTNL_MSG_CT_NEW), { name: 'IPCTNL_MSG_CT_NEW', decode: connection }],
  [conntrackType(IPCTNL_MSG_CT_GET), { name: 'IPCTNL_MSG_CT_GET', decode: connection }],
  [conntrackType(IPCTNL_MSG_CT_DELETE), { name: 'IPCTNL_MSG_CT_DELETE', decode: connection }],
  [nftablesType(NFT_MSG_NEWSETELEM), { name: 'NFT_MSG_NEWSETELEM', decode: elements }],
  [nftablesType(NFT_MSG_GETSETELEM), { name: 'NFT_MSG_GETSETELEM', decode: elements }],
  [nftablesType(NFT_MSG_DELSETELEM), { name: 'NFT_MSG_DELSETELEM', decode: elements }],
  [nftablesType(NFT_MSG_NEWOBJ), { name: 'NFT_MSG_NEWOBJ', decode: object }],
  [nftablesType(NFT_MSG_GETOBJ), { name: 'NFT_MSG_GETOBJ', decode: object }],
  [nftablesType(NFT_MSG_TRACE), { name: 'NFT_MSG_TRACE', decode: bytes => traceMessage.decode(bytes) }],
]);

export const NETFILTER_PROTOCOL: NetlinkProtocol = {
  number: NETLINK_NETFILTER,
  messageName: type => MESSAGES.get(type)?.name,
  decode: ({ type, payload }: Message) => MESSAGES.get(type)?.decode?.(payload),
};
