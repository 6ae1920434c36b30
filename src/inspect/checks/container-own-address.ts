/** Whether a container takes packets for its own address: the table local says so, which a policy rule must lead to first. Pure. */
import type { Ip } from '../../base/ip.ts';
import { RT_TABLE_LOCAL, RTN_LOCAL } from '../../netlink/route/constants.ts';
import type { Route } from '../../netlink/route/objects.ts';
import { routeLine } from '../../netlink/text/entries.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import type { Member } from '../host/members.ts';
import { type Cause, fixedBy, inContainer, ipCommand } from './check.ts';

export interface OwnAddressFacts {
  readonly member: Member;
  readonly nameOf: NameOf;
  /** Of all tables. */
  readonly routes: readonly Route[];
  /** What the kernel inside does with packets for the container's own address. */
  readonly own?: { readonly ip: Ip; readonly route: Route };
}

export function judgeOwnAddress({ member, nameOf, routes, own }: OwnAddressFacts): Cause[] {
  if (own === undefined || own.route.type === RTN_LOCAL) return [];
  const { container, inner } = member;
  const { ip, route } = own;
  const words = ipCommand(ip.family).split(' ');
  const isThere = routes.some(
    ({ table, type, destination }) =>
      table === RT_TABLE_LOCAL && type === RTN_LOCAL && destination?.contains(ip) === true,
  );
  const command = isThere
    ? ['rule', 'add', 'lookup', 'local', 'pref', '0']
    : ['route', 'add', 'local', `${ip}`, 'dev', inner.name, 'table', 'local'];
  return [
    fixedBy([inContainer(container, ...words, ...command)], {
      code: isThere ? 'CONTAINER_RULE' : 'CONTAINER_ROUTE',
      severity: 'error',
      layer: 'container',
      reason: `the container ${container.name} takes no packet for its own address ${ip}: ${isThere ? 'no policy rule leads to the table local before the others' : 'the table local has no entry for it'}`,
      evidence: [`${container.name}: ip route get ${ip}: ${routeLine(route, nameOf)}`],
    }),
  ];
}
