/** A container of a dual-stack bridge that has lost its addresses of one family, and kept those of the other. */
import { FAMILY_LABELS } from '../../base/ip.ts';
import { RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { Route } from '../../netlink/route/objects.ts';
import { routeLine } from '../../netlink/text/entries.ts';
import { linkNames } from '../../netlink/text/link.ts';
import type { Member } from '../host/members.ts';
import type { HostOverlay } from '../host/overlay.ts';
import { type Cause, ipCommand } from './check.ts';

/** The namespaces of members with addresses of all families of their bridge are not read. */
export async function judgeFamilies(members: readonly Member[], overlay: HostOverlay): Promise<Cause[]> {
  const halves = members.filter(
    member => member.inner.up && member.addresses.length > 0 && lackingOf(member).length > 0,
  );
  const causes = halves.map(async member => {
    // One that ends meanwhile has none.
    const routes = await member.container.inside.routes().catch(() => []);
    return judgeFamily(member, overlay, routes);
  });
  return (await Promise.all(causes)).flat();
}

/**
 * The default route of IPv6 outlives the last address, and comes after all of them when a container starts: with it, the
 * container was given IPv6. Without it, IPv6 may be off there as somebody meant it.
 */
function judgeFamily(member: Member, overlay: HostOverlay, routes: readonly Route[]): Cause[] {
  const { container, home, inner } = member;
  const started = routes.find(
    ({ destination, family, gateway, oif, type }) =>
      family === 'ipv6' &&
      destination === undefined &&
      type === RTN_UNICAST &&
      oif === inner.index &&
      home?.addresses.some(({ ip }) => gateway?.equals(ip) === true) === true,
  );
  if (started === undefined) return [];
  const { name } = container;
  return lackingOf(member).map((family): Cause => {
    const label = FAMILY_LABELS[family];
    const subnets = overlay.subnets.filter(block => block.family === family);
    return {
      code: 'CONTAINER_NO_ADDRESS',
      severity: 'error',
      layer: 'container',
      reason: `${inner.name} of the container ${name} has no ${label} address, and its bridge has one: nothing reaches it over ${label}`,
      evidence: [
        `${name}: ${ipCommand(family)} addr show ${inner.name}: no ${label} address`,
        `${name}: ${routeLine(started, linkNames(container.allLinks))}`,
      ],
      remedy: `restart the container, or give it a free address of ${subnets.join(' and ')}`,
    };
  });
}

/** Families that the bridge has an address of, in the overlay, and the container none at all. */
const lackingOf = ({ home, addresses }: Member) =>
  [...new Set(home?.addresses.map(({ family }) => family))].filter(
    family => !addresses.some(address => address.family === family),
  );
