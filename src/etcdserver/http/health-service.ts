/** gRPC's own health protocol. The store serves unless an alarm is raised or its disk takes no writes. */
import {
  type Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../store/wire/generated/health_pb.ts';
import { RpcError } from '../errors.ts';
import type { Methods } from '../rpc.ts';

/** How often a watcher's status is looked at again, in milliseconds. */
const LOOK_MS = 1000;

/**
 * @param services names of the services that can be asked for besides the server as a whole ('').
 * @param core says what keeps the store from serving
 */
export function healthService(
  services: readonly string[],
  core: { readonly problems: readonly string[] },
): Methods<typeof Health> {
  const known = new Set(['', ...services]);
  const now = () => (core.problems.length === 0 ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
  return {
    check({ service }) {
      if (!known.has(service)) throw new RpcError('NOT_FOUND', 'unknown service');
      return { status: now() };
    },
    watch({ service }, _caller, out) {
      if (!known.has(service)) return out.send({ status: ServingStatus.SERVICE_UNKNOWN });
      let sent = now();
      out.send({ status: sent });
      const timer = setInterval(() => {
        const status = now();
        if (status === sent || !out.writable) return;
        sent = status;
        out.send({ status });
      }, LOOK_MS);
      out.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
    },
  };
}
