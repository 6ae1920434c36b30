/** gRPC's own health protocol. The store serves from the moment it listens until it stops. */
import {
  type Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../wire/generated/health_pb.ts';
import { RpcError } from './errors.ts';
import type { Methods } from './rpc.ts';

/** @param services names of the services that can be asked for besides the server as a whole (''). */
export function healthService(services: readonly string[]): Methods<typeof Health> {
  const known = new Set(['', ...services]);
  return {
    check({ service }) {
      if (!known.has(service)) throw new RpcError('NOT_FOUND', 'unknown service');
      return { status: ServingStatus.SERVING };
    },
    watch({ service }, _caller, out) {
      out.send({ status: known.has(service) ? ServingStatus.SERVING : ServingStatus.SERVICE_UNKNOWN });
    },
  };
}
