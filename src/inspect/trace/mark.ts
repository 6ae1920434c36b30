/**
 * The mark that makes the kernel tell the way of a packet: a table of our own, with a rule for exactly the wanted packets
 * before all other rules, and two chains behind all others that say how a packet looked when it left or arrived.
 *
 * The table ends with the socket that made it, so also when this process is killed. It changes nothing about packets.
 */
import { randomBytes } from 'node:crypto';
import { formatHex } from '../../base/bytes.ts';
import { isCode } from '../../base/errors.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import {
  deleteTable,
  type InetHook,
  newBaseChain,
  newRule,
  newTable,
  type TableFamily,
} from '../../netlink/netfilter/table.ts';
import type { Change } from '../../netlink/protocol.ts';
import { markRule, type PacketSelector } from './packet.ts';

/** NF_IP_PRI_RAW of include/uapi/linux/netfilter_ipv4.h, less one: before all but what puts fragments together. */
export const FIRST_PRIORITY = -301;
/** NF_IP_PRI_LAST, less one. */
export const LAST_PRIORITY = 0x7fff_fffe;

const MARKING: readonly InetHook[] = ['prerouting', 'output'];
const WATCHING: readonly InetHook[] = ['input', 'postrouting'];

/** Several may follow packets at the same time. */
export const nameOfTraceTable = (): string => `tulle-trace-${formatHex(randomBytes(4))}`;

/** Makes tables in one transaction, which end with the socket where the kernel can. @throws NetlinkError; SysError */
export function plantTables(netfilter: Netfilter, changes: (isOwned: boolean) => readonly Change[]): void {
  try {
    netfilter.commit(changes(true));
  } catch (error) {
    // Linux before 5.12 has no tables that end with their socket.
    if (!isCode(error, 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL')) throw error;
    netfilter.commit(changes(false));
  }
}

/** @throws NetlinkError; SysError */
export function removeTables(netfilter: Netfilter, table: string, families: readonly TableFamily[]): void {
  for (const family of families) {
    try {
      netfilter.commit([deleteTable(table, family)]);
    } catch (error) {
      // Another program has removed it.
      if (!isCode(error, 'ENOENT')) throw error;
    }
  }
}

/** A table in the kernel, until it is disposed of. */
export class TraceMark implements Disposable {
  readonly table: string;
  readonly #netfilter: Netfilter;

  private constructor(netfilter: Netfilter, table: string) {
    this.#netfilter = netfilter;
    this.table = table;
  }

  /** @throws RangeError for a selector that no packet can meet; NetlinkError; SysError */
  static plant(netfilter: Netfilter, wanted: PacketSelector): TraceMark {
    const rule = markRule(wanted);
    const table = nameOfTraceTable();
    plantTables(netfilter, isOwned => [
      newTable(table, isOwned),
      ...MARKING.map(hook => newBaseChain({ table, name: hook, hook, priority: FIRST_PRIORITY })),
      ...MARKING.map(hook => newRule(table, hook, rule)),
      ...WATCHING.map(hook => newBaseChain({ table, name: hook, hook, priority: LAST_PRIORITY })),
    ]);
    return new TraceMark(netfilter, table);
  }

  [Symbol.dispose](): void {
    removeTables(this.#netfilter, this.table, ['inet']);
  }
}
