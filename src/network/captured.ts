/**
 * Routes of other programs that take packets for containers of other hosts: a longer prefix wins, whoever has made it, and
 * the routes to the peers' subnets stay complete beside it.
 */
import { enumerate } from '../base/enumerate.ts';
import { blocksOf } from '../subnet/lease/lease.ts';
import type { ActivePlan } from './active-plan.ts';
import type { OwnedWarning } from './reports.ts';
import type { HostNetwork } from './underlay.ts';

/** None where the backend does not ask for the routes of this host. */
export function capturedWarnings(
  { routes = [], links }: Pick<HostNetwork, 'routes' | 'links'>,
  { plan: { config }, lease }: Pick<ActivePlan, 'plan' | 'lease'>,
): OwnedWarning[] {
  const own = blocksOf(lease.subnet);
  const capturing = routes.filter(({ destination }) => {
    const { network, subnetLength } = config[destination.family] ?? {};
    if (network === undefined || subnetLength === undefined) return false;
    const isWithin = destination.length > subnetLength && network.contains(destination);
    return isWithin && !own.some(block => block.contains(destination));
  });
  const [first] = capturing;
  if (first === undefined) return [];
  const name = ({ destination, gateway, link }: typeof first) =>
    [
      destination,
      ...(gateway === undefined ? [] : [`via ${gateway}`]),
      ...(link === undefined ? [] : [`dev ${links.find(({ index }) => index === link)?.name ?? link}`]),
    ].join(' ');
  return [
    {
      id: 'routes',
      code: 'ROUTE_CAPTURES',
      severity: 'warning',
      title: 'a route of another program takes packets for containers of other hosts',
      text: `packets for these addresses do not go to the host that has them: ${enumerate(capturing, { name })}`,
      hint: `find out who has made it; ip route delete ${first.destination}`,
    },
  ];
}
