/**
 * Datagrams that go on as they began although a port leads elsewhere now. Only the first packet of a connection is looked up
 * in the maps; with UDP a connection lasts as long as somebody sends, so that it would never be looked up again. With TCP
 * nobody answers, and the client begins anew.
 */
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import type { TrackedConnection } from '../../netlink/netfilter/conntrack.ts';
import { type PortForward, PROTOCOL_NUMBERS } from './port-elements.ts';

export type StaleForward = Omit<PortForward, 'comment'>;

/**
 * Forgets what went to the host itself before a port was published, and what goes to a container whose port is withdrawn.
 *
 * @param isOwn whether an address is one of this host
 * @throws NetlinkError, SysError
 */
export function forgetStale(
  netfilter: Pick<Netfilter, 'connections' | 'forget'>,
  { added, gone }: { readonly added: readonly StaleForward[]; readonly gone: readonly StaleForward[] },
  isOwn: (ip: Ip) => boolean,
): void {
  const withdrawn = new Set(gone);
  const datagrams = [...added, ...gone].filter(({ protocol }) => protocol === 'udp');
  for (const [family, forwards] of Map.groupBy(datagrams, ({ target }) => target.family)) {
    const byPort = Map.groupBy(forwards, ({ hostPort }) => hostPort);
    const isStale = (connection: TrackedConnection) =>
      byPort
        .get(connection.original.destinationPort)
        ?.some(forward =>
          withdrawn.has(forward) ? leadsTo(connection, forward) : isPast(connection, forward, isOwn),
        ) === true;
    const [port, ...more] = byPort.keys();
    // The kernel walks through its whole table for each list: several ports are one.
    const filter = { family, protocol: PROTOCOL_NUMBERS.udp, ...(more.length === 0 && defined({ port })) };
    const connections = netfilter.connections(filter);
    netfilter.forget(connections.filter(one => one.protocol === PROTOCOL_NUMBERS.udp && isStale(one)));
  }
}

const leadsTo = ({ reply }: TrackedConnection, { target, targetPort }: StaleForward) =>
  reply.source.equals(target) && reply.sourcePort === targetPort;

/** With this host itself, and nothing was changed about it. */
function isPast(
  { original, reply }: TrackedConnection,
  { hostIp }: StaleForward,
  isOwn: (ip: Ip) => boolean,
) {
  const { source, destination } = original;
  if (!reply.source.equals(destination) || !reply.destination.equals(source)) return false;
  return hostIp === undefined ? isOwn(destination) : hostIp.equals(destination);
}
