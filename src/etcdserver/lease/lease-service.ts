/** The Lease service. */
import { randomBytes } from 'node:crypto';
import type { Lease } from '../../store/wire/generated/lease_pb.ts';
import type { Core } from '../core.ts';
import type { Methods } from '../rpc.ts';

export function leaseService(core: Core): Methods<typeof Lease> {
  return {
    leaseGrant(request, caller) {
      return core.update(() => {
        const owner = core.access.grantLease(caller, request.TTL);
        core.quota.claim(0);
        const id = request.ID === 0n ? freeId(core) : request.ID;
        const TTL = core.lessor.grant(id, request.TTL, owner);
        return { header: core.header(), ID: id, TTL };
      });
    },

    leaseRevoke(request, caller) {
      return core.write(writer => {
        core.access.revokeLease(caller, request.ID);
        core.lessor.revoke(request.ID, writer);
        return { header: core.header(writer.visibleRevision) };
      });
    },

    leaseTimeToLive(request, caller) {
      return core.read(() => {
        const { ID } = request;
        const lease = core.lessor.timeToLive(ID);
        if (lease === undefined) return { header: core.header(), ID, TTL: -1n };
        if (request.keys) core.access.readLease(caller, ID);
        const keys = request.keys ? core.mvcc.keysOfLease(ID) : [];
        return { header: core.header(), ID, TTL: lease.remaining, grantedTTL: lease.granted, keys };
      });
    },

    leaseLeases() {
      return core.read(() => ({
        header: core.header(),
        leases: core.lessor.list().map(ID => ({ ID })),
      }));
    },

    leaseKeepAlive(caller, out) {
      let open = 0;
      let ended = false;
      return {
        message({ ID }) {
          open++;
          core
            .read(() => {
              core.access.keepLeaseAlive(caller, ID);
              out.send({ header: core.header(), ID, TTL: core.lessor.keepAlive(ID) ?? 0n });
            })
            .catch((error: Error) => out.close(error))
            .finally(() => {
              if (--open === 0 && ended) out.close();
            });
        },
        end() {
          ended = true;
          if (open === 0) out.close();
        },
      };
    },
  };
}

/** A random positive id, as etcd's are. */
function freeId(core: Core): bigint {
  for (;;) {
    const id = randomBytes(8).readBigUInt64BE() >> 1n;
    if (id !== 0n && !core.lessor.has(id)) return id;
  }
}
