/**
 * The local route of each address that this host has for the overlay: on the bridge, the tunnel and the underlay. The kernel
 * makes it with the address; without it, or where no policy rule leads there, the host neither answers ARP for that address nor takes packets to it.
 */
import { ADDRESS_BITS, FAMILY_LABELS, type Ip } from '../../base/ip.ts';
import { formatInterfaceAddress } from '../../base/prefix.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_TENTATIVE,
  RT_TABLE_LOCAL,
  RTN_ANYCAST,
  RTN_LOCAL,
} from '../../netlink/route/constants.ts';
import type { Address, Link, Route } from '../../netlink/route/objects.ts';
import { addressLine, routeLine } from '../../netlink/text/entries.ts';
import type { HostReader } from '../host/host-reader.ts';
import { type Cause, type Command, fixedBy, HERE, ipCommand } from './check.ts';
import { underlayOf } from './underlay.ts';

export async function checkLocalRoutes(host: HostReader): Promise<Cause[]> {
  const [overlay, { ips }, addresses, links, routes, nameOf] = await Promise.all([
    host.overlay(),
    underlayOf(host),
    host.addresses(),
    host.links(),
    host.routes(),
    host.nameOf(),
  ]);
  const local = new Set(routes.filter(isLocalOfOne).map(({ destination }) => String(destination?.ip)));
  const suspects = addresses.flatMap(address => {
    const { ip, index } = address;
    const link = links.find(each => each.index === index);
    const isOurs = overlay?.subnets.some(block => block.contains(ip)) || ips.some(own => own.equals(ip));
    // The routes of a link that is down are gone with it, which is said elsewhere.
    const isJudged = isOurs && link?.up === true && isInUse(address);
    return isJudged ? [{ address, link }] : [];
  });
  const causes = suspects.map(async ({ address, link }) => {
    // The lists are of different moments: the kernel's own answer counts.
    const { route } = await host.lookup(address.ip);
    if (route?.type === RTN_LOCAL) return [];
    if (!local.has(String(address.ip))) return [causeOf(address, link, addressLine(address, nameOf))];
    // The tunnel's is the first of the bridge's prefix, which a router takes for itself there (net/ipv6/anycast.c): the
    // entry made later comes second, and either takes the packets.
    if (route?.type === RTN_ANYCAST) return [];
    // Those of a VRF are in a table of its own, which only its links ask.
    const isUsual = routes.some(
      one => isLocalOfOne(one) && one.table === RT_TABLE_LOCAL && one.destination?.ip.equals(address.ip),
    );
    return route === undefined || !isUsual ? [] : [ruleBefore(address, routeLine(route, nameOf))];
  });
  const all = (await Promise.all(causes)).flat();
  // What rules do they do to all addresses of a family.
  return all.filter(({ reason }, at) => all.findIndex(other => other.reason === reason) === at);
}

/** The entry is there, and the kernel does not come to it. */
function ruleBefore({ ip, family }: Address, line: string): Cause {
  const command = ipCommand(family);
  return fixedBy([`${command} rule add lookup local pref 0`.split(' ')], {
    code: 'POLICY_RULE',
    severity: 'error',
    layer: 'routing',
    reason: `no policy rule looks into the table local before the others: ${HERE} takes no packet for its own ${FAMILY_LABELS[family]} addresses`,
    evidence: [`${command} route get ${ip}: ${line}`, `${command} rule show lookup local`],
  });
}

const isLocalOfOne = ({ type, destination, family }: Route) =>
  type === RTN_LOCAL && destination?.length === ADDRESS_BITS[family];

const isInUse = ({ flags }: Address) => (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0;

function causeOf(address: Address, { name, info }: Link, line: string): Cause {
  const { ip, family } = address;
  const isBridge = info?.kind === 'bridge';
  const effect = isBridge ? ': its containers do not find their gateway' : '';
  const shown = `${ipCommand(family)} route show table local exact ${ip}`;
  const cause: Omit<Cause, 'remedy'> = {
    code: 'LOCAL_ROUTE_MISSING',
    severity: 'error',
    layer: isBridge ? 'bridge' : 'routing',
    reason: `${name} has the address ${ip} without its local route, so that the kernel takes no packet for it${effect}`,
    evidence: [line, `${shown}: nothing`],
  };
  if (family === 'ipv4') return fixedBy([localRoute(ip, name)], cause);
  // One that is added by hand has another metric than the kernel's own, which would leave it behind with the address.
  const text = `${formatInterfaceAddress(address)} dev ${name}`;
  return { ...cause, remedy: `ip addr del ${text}; ip addr add ${text}` };
}

/** As the kernel makes it, and removes it with the address (net/ipv4/fib_frontend.c, fib_add_ifaddr). */
const localRoute = (ip: Ip, link: string): Command =>
  `ip route add local ${ip} dev ${link} table local proto kernel scope host src ${ip}`.split(' ');
