/** The Maintenance and Cluster services of a store with one member. */
import { createHash, randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import type { Cluster } from '../store/wire/generated/cluster_pb.ts';
import {
  AlarmRequest_AlarmAction as AlarmAction,
  AlarmType,
  type Maintenance,
} from '../store/wire/generated/maintenance_pb.ts';
import { type Core, RAFT_TERM, SNAPSHOT_SUFFIX } from './core.ts';
import { refusal } from './errors.ts';
import { hashKeys } from './mvcc/hash.ts';
import type { Methods, Outgoing } from './rpc.ts';
import { ETCD_VERSION } from './version.ts';

/** What a member says of itself. */
export interface MemberInfo {
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** Bytes of a snapshot in one message, as etcd sends them. */
const BLOB_BYTES = 32 * 1024;

export function clusterService(core: Core, { name, clientUrls }: MemberInfo): Methods<typeof Cluster> {
  return {
    memberList: () => ({
      header: core.header(core.hub.revision),
      members: [{ ID: core.memberId, name, peerURLs: [], clientURLs: [...clientUrls] }],
    }),
  };
}

export function maintenanceService(core: Core): Methods<typeof Maintenance> {
  const alarmOf = (alarm: AlarmType) => ({ memberID: core.memberId, alarm });
  return {
    alarm({ action, alarm }, caller) {
      return core.update(() => {
        if (action === AlarmAction.GET) {
          const wanted = [...core.quota.alarms].filter(one => alarm === AlarmType.NONE || one === alarm);
          return { header: core.header(), alarms: wanted.map(alarmOf) };
        }
        core.access.admin(caller);
        const changed = alarm !== AlarmType.NONE && core.quota.set(alarm, action === AlarmAction.ACTIVATE);
        return { header: core.header(), alarms: changed ? [alarmOf(alarm)] : [] };
      });
    },

    status() {
      return core.read(() => {
        const { total, inUse } = core.database.size();
        return {
          header: core.header(),
          version: ETCD_VERSION,
          dbSize: total,
          dbSizeInUse: inUse,
          leader: core.memberId,
          raftTerm: RAFT_TERM,
          // There is no log of requests; the revision is the number that grows with the contents.
          raftIndex: core.mvcc.revision,
          raftAppliedIndex: core.mvcc.revision,
          errors: [...core.quota.alarms].map(
            alarm =>
              `memberID:${core.memberId} alarm:${alarm === AlarmType.NOSPACE ? 'NOSPACE' : 'CORRUPT'} `,
          ),
        };
      });
    },

    defragment(_request, caller) {
      return core.alone(() => {
        core.access.admin(caller);
        core.database.defragment();
        return { header: core.header() };
      });
    },

    hash(_request, caller) {
      return core.read(() => {
        core.access.admin(caller);
        return { header: core.header(), hash: hashKeys(core.mvcc, core.mvcc.revision) };
      });
    },

    hashKV({ revision }, caller) {
      return core.read(() => {
        core.access.admin(caller);
        const { mvcc } = core;
        if (revision > mvcc.revision) throw refusal('futureRevision');
        if (revision > 0n && revision < mvcc.compactedRevision) throw refusal('compacted');
        const hash = hashKeys(mvcc, revision > 0n ? revision : mvcc.revision);
        return { header: core.header(), hash, compactRevision: mvcc.compactedRevision };
      });
    },

    snapshot(_request, caller, out) {
      core.access.admin(caller);
      sendSnapshot(core, out).then(
        () => out.close(),
        (error: Error) => out.close(error),
      );
    },
  };
}

/** A copy of the database, and after it its SHA-256, as etcd appends it to its own. */
async function sendSnapshot(
  core: Core,
  out: Outgoing<{ header: ReturnType<Core['header']>; remainingBytes: bigint; blob: Uint8Array }>,
): Promise<void> {
  const path = `${core.database.path}.${randomUUID()}${SNAPSHOT_SUFFIX}`;
  try {
    await core.database.copyTo(path);
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const hash = createHash('sha256');
    for (let sent = 0; sent < size && !out.signal.aborted; ) {
      const blob = new Uint8Array(Math.min(BLOB_BYTES, size - sent));
      const { bytesRead } = await file.read(blob, 0, blob.byteLength, sent);
      if (bytesRead === 0) break;
      sent += bytesRead;
      hash.update(blob.subarray(0, bytesRead));
      await out.drained();
      out.send({
        header: core.header(),
        remainingBytes: BigInt(size - sent),
        blob: blob.subarray(0, bytesRead),
      });
    }
    out.send({ header: core.header(), remainingBytes: 0n, blob: hash.digest() });
  } finally {
    await rm(path, { force: true });
  }
}
