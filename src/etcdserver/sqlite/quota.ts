/**
 * The quota, and the alarms of etcd. A store that would grow past its quota raises NOSPACE; from then on it takes
 * no puts and no new leases until space was freed (delete, compact, defragment) and the alarm is disarmed. The
 * alarm survives a restart.
 */
import { AlarmType } from '../../store/wire/generated/maintenance_pb.ts';
import { refusal } from '../errors.ts';
import type { Database } from './database.ts';
import type { Tables } from './tables.ts';

/** etcd's default, in bytes. */
export const DEFAULT_QUOTA = 2n * 1024n ** 3n;

/** A small put costs this much of the quota at least, in bytes: its rows and its share of the indexes. */
const OVERHEAD = 256;

export class Quota {
  readonly #database: Database;
  readonly #tables: Tables;
  readonly #quota: bigint;
  #alarms: ReadonlySet<AlarmType> = new Set();

  /** @param quota bytes of the database file; undefined: no limit. */
  constructor(database: Database, tables: Tables, quota: bigint | undefined) {
    this.#database = database;
    this.#tables = tables;
    this.#quota = quota ?? 2n ** 63n;
    this.reload();
  }

  get alarms(): ReadonlySet<AlarmType> {
    return this.#alarms;
  }

  reload(): void {
    const raised = [
      ...(this.#tables.getMeta('alarm_nospace') === 1n ? [AlarmType.NOSPACE] : []),
      ...(this.#tables.getMeta('alarm_corrupt') === 1n ? [AlarmType.CORRUPT] : []),
    ];
    this.#alarms = new Set(raised);
  }

  /** Before a request that makes the store grow by `bytes` of keys and values. @throws RpcError */
  claim(bytes: number): void {
    this.assertSound();
    if (this.#alarms.has(AlarmType.NOSPACE)) throw refusal('noSpace');
    if (this.#database.committedBytes + BigInt(bytes + OVERHEAD) <= this.#quota) return;
    this.set(AlarmType.NOSPACE, true);
    throw refusal('noSpace');
  }

  /** @throws RpcError while the alarm CORRUPT is raised: the data is not to be relied on. */
  assertSound(): void {
    if (this.#alarms.has(AlarmType.CORRUPT)) throw refusal('corrupt');
  }

  /** @returns whether this was a change. */
  set(alarm: AlarmType, raised: boolean): boolean {
    if (this.#alarms.has(alarm) === raised) return false;
    const name = alarm === AlarmType.NOSPACE ? 'alarm_nospace' : 'alarm_corrupt';
    this.#tables.setMeta(name, raised ? 1n : 0n);
    this.reload();
    return true;
  }
}
