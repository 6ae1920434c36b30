/**
 * Notices changes to firewall rules from the kernel's announcements: every transaction of nft and of the iptables that
 * is built on it is announced to a multicast group. What was changed does not matter, only that something was, and that it is not
 * in a table of another part of this program: each part looks after its own ones, and to look starts programs.
 * The legacy iptables has no announcements; only which tables it has can be seen cheaply.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { CodecError, isCode } from '../base/errors.ts';
import { attributes, one } from '../netlink/attribute.ts';
import { text } from '../netlink/attribute-types.ts';
import { MessageCodec, readMessages } from '../netlink/message.ts';
import { NFT_MSG_NEWGEN, NFTA_TABLE_NAME } from '../netlink/netfilter/constants.ts';
import { nfgenmsg, nftablesType } from '../netlink/netfilter/header.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../sys/netlink-socket.ts';
import type { Netns } from '../sys/netns.ts';

/** include/uapi/linux/netfilter/nfnetlink.h. */
const NFNLGRP_NFTABLES = 7;

/** Larger than any datagram; what does not fit would still be a change. */
const DATAGRAM_SIZE = 64 << 10;

export interface RuleChangesOptions {
  /** The port of a netlink socket whose changes do not matter: those of elements, one per peer, port and station. */
  readonly ignored?: number;
  /** What names of tables of this part begin with; those of others do not matter. Absent: everything matters. */
  readonly own?: string;
}

/**
 * Yields after every burst of changes in the namespace, until the signal aborts, which ends it without an
 * error. It listens from the first `next()` on.
 *
 * @throws SysError
 */
export async function* ruleChanges(
  netns: Netns,
  signal: AbortSignal,
  { ignored, own }: RuleChangesOptions = {},
): AsyncGenerator<void, void> {
  using socket = NetlinkSocket.open(netns, [NFNLGRP_NFTABLES], NETLINK_NETFILTER);
  if (ignored !== undefined) socket.ignore(ignored);
  const buffer = new Uint8Array(DATAGRAM_SIZE);
  while (!signal.aborted) {
    try {
      await socket.readable(signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    let isOurs = false;
    for (let found = readOne(socket, buffer); found !== undefined; found = readOne(socket, buffer))
      isOurs ||= own === undefined || found === 'unknown' || found.some(table => matters(table, own));
    if (isOurs) yield;
  }
}

/** Lists of the tables of the legacy iptables, one per family, as the thread's namespace has them. */
const LEGACY_TABLES = ['ip_tables_names', 'ip6_tables_names'].map(name => `/proc/thread-self/net/${name}`);

export interface LegacyWatch {
  readonly clock: Clock;
  /** Milliseconds between two looks. */
  readonly interval: number;
  readonly onChange: () => void;
}

/** Calls back when the legacy iptables gets a table, which its first rule makes, until the signal aborts. */
export async function watchLegacyTables(
  netns: Netns,
  { clock, interval, onChange }: LegacyWatch,
  signal: AbortSignal,
): Promise<void> {
  let before = legacyTables(netns);
  while (!signal.aborted) {
    await clock.sleep(interval, signal).catch(() => undefined);
    const now = legacyTables(netns);
    if (now !== before) onChange();
    before = now;
  }
}

/** Whether the legacy iptables has a table; to look at them with it would cost two programs. */
export const hasLegacyTables = (netns: Netns): boolean => /\w/.test(legacyTables(netns));

function legacyTables(netns: Netns): string {
  return netns.run(() => LEGACY_TABLES.map(readIfThere).join('/'));
}

/** A kernel without the legacy iptables has no such file. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return '';
    throw error;
  }
}

const matters = (table: string, own: string) => !table.startsWith('tulle-') || table.startsWith(own);

/** All messages about tables and what is in them have its name in their first attribute. */
const changeMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({ table: one(NFTA_TABLE_NAME, text) }),
);

/** Names of the tables of one announcement; `unknown` when the kernel had to drop some. undefined when there is none. */
function readOne(socket: NetlinkSocket, buffer: Uint8Array): readonly string[] | 'unknown' | undefined {
  try {
    const length = socket.receive(buffer);
    if (length === undefined) return undefined;
    return readMessages(buffer.subarray(0, length)).flatMap(({ type, payload }) =>
      // The number of the generation, with each transaction.
      type === nftablesType(NFT_MSG_NEWGEN) ? [] : (changeMessage.decode(payload).attributes.table ?? ''),
    );
  } catch (error) {
    if (isCode(error, 'ENOBUFS', 'EMSGSIZE') || error instanceof CodecError) return 'unknown';
    throw error;
  }
}
