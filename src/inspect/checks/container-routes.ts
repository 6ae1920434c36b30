/** Asks in each container on the overlay for the ways that container-route.ts judges. */
import { FAMILIES, type Family, type Ip } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import { FR_ACT_TO_TBL, RT_TABLE_LOCAL, RTN_LOCAL } from '../../netlink/route/constants.ts';
import type { Route, Rule } from '../../netlink/route/objects.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member } from '../host/members.ts';
import type { Cause } from './check.ts';
import { type AskedWay, judgeRoutes, type RouteFacts } from './container-route.ts';
import { protocolsIn } from './fib.ts';

/** Ways that are asked for in one container. */
const MOST_WAYS = 64;

/** What all containers of a host have in common, for one family. */
interface Surroundings {
  readonly family: Family;
  /** Of the overlay. */
  readonly networks: readonly Prefix[];
  readonly subnets: readonly Prefix[];
  readonly peers: readonly Prefix[];
  /** All containers of the host. */
  readonly members: readonly Member[];
  /** Addresses of containers that forward. */
  readonly forwarders: readonly Ip[];
}

export async function checkContainerRoutes(host: HostReader): Promise<Cause[]> {
  const [{ members }, peers, overlay] = await Promise.all([
    host.members(),
    host.peerSubnets(),
    host.overlay(),
  ]);
  const forwarders = members
    .filter(({ container }) => container.inside.sysctl('net/ipv4/ip_forward') === '1')
    .flatMap(({ addresses }) => addresses.map(({ ip }) => ip));
  const { networks = [], subnets = [] } = overlay ?? {};
  const facts = FAMILIES.flatMap(family => {
    const of = (blocks: readonly Prefix[]) => blocks.filter(block => block.family === family);
    const around = {
      family,
      networks: of(networks),
      subnets: of(subnets),
      peers: of(peers),
      forwarders,
      members,
    };
    const isOn = ({ inner, addresses }: Member) =>
      // A link that is down has no routes.
      inner.up && addresses.some(({ ip }) => around.subnets.some(block => block.contains(ip)));
    return members.filter(isOn).map(member => readRoutes(host, member, around));
  });
  return (await Promise.all(facts)).flatMap(judgeRoutes);
}

async function readRoutes(host: HostReader, member: Member, around: Surroundings): Promise<RouteFacts> {
  const { family, subnets, peers, networks, forwarders, members } = around;
  const { inside } = member.container;
  const [nameOf, allRoutes, allRules] = await Promise.all([
    inside.nameOf(),
    inside.routes(),
    inside.policyRules(),
  ]);
  const routes = allRoutes.filter(route => route.family === family);
  const rules = allRules.filter(rule => rule.family === family && !isUsual(rule));
  const destinations = destinationsFor({ subnets, peers, networks }, routes, rules);
  const source = member.addresses.find(({ ip }) => subnets.some(block => block.contains(ip)))?.ip;
  const [first] = destinations;
  const ways = destinations.flatMap(destination =>
    protocolsIn(rules).map(async ({ protocol }): Promise<AskedWay> => {
      const lookup = await inside.lookup(destination, { source, protocol });
      return { destination, lookup, ...(protocol !== undefined && { protocol }) };
    }),
  );
  const incoming =
    first === undefined || source === undefined
      ? undefined
      : { source: first, lookup: await inside.lookup(source, { source: first, iif: member.inner.index }) };
  const unbound =
    first === undefined || source === undefined ? undefined : (await inside.lookup(first)).route;
  const own = source === undefined ? undefined : (await inside.lookup(source)).route;
  const { home } = member;
  // A bridge that has lost its address is another finding.
  const gateways = [...(home?.addresses ?? []), ...(home?.others ?? [])]
    .map(({ ip }) => ip)
    .filter(ip => ip.family === family);
  const isProxied =
    home !== undefined &&
    ['all', home.link.name].some(name => host.sysctl(`net/ipv4/conf/${name}/proxy_arp`) === '1');
  return {
    member,
    family,
    nameOf,
    routes,
    rules,
    ways: await Promise.all(ways),
    gateways: gateways.length === 0 ? [] : [...gateways, ...forwarders],
    stations: members
      .filter(other => other !== member && other.bridge?.index === member.bridge?.index)
      .flatMap(({ addresses }) => addresses.map(({ ip }) => ip))
      .concat(gateways),
    isProxied,
    isStrict: isStrict(member),
    subnets,
    ...(own && source && { own: { ip: source, route: own } }),
    ...(unbound && { unbound }),
    ...(incoming && { incoming }),
  };
}

/** The larger one of two values is in force (Documentation/networking/ip-sysctl.rst). */
function isStrict({ container, inner }: Member): boolean {
  const paths = ['all', inner.name].map(name => `net/ipv4/conf/${name}/rp_filter`);
  return Math.max(...Array.from(container.inside.sysctls(paths).values(), Number)) === 1;
}

/** Rules that the kernel makes: local, main, default. */
function isUsual({
  priority = 0,
  table,
  action,
  source,
  destination,
  fwmark,
  iifName,
  oifName,
}: Rule): boolean {
  const isPlain = [source, destination, fwmark, iifName, oifName].every(part => part === undefined);
  const usual = { 0: 255, 32766: 254, 32767: 253 }[priority];
  return isPlain && action === FR_ACT_TO_TBL && table === usual;
}

/**
 * Addresses of containers of other hosts: one for all, where nothing in the container tells them apart; else one of each
 * host, and of each route there.
 */
function destinationsFor(
  { networks, subnets, peers }: Pick<Surroundings, 'networks' | 'subnets' | 'peers'>,
  routes: readonly Route[],
  rules: readonly Rule[],
): Ip[] {
  const isAway = (ip: Ip) =>
    networks.some(network => network.contains(ip)) && !subnets.some(block => block.contains(ip));
  const captured = routes
    .filter(({ table, type }) => table !== RT_TABLE_LOCAL || type === RTN_LOCAL)
    .flatMap(({ destination }) => destination ?? [])
    .filter(block => block.length > 0 && networks.some(network => network.contains(block)))
    .map(addressIn)
    .filter(isAway);
  const hosts = peers.map(addressIn).filter(isAway);
  const spare = networks.flatMap(({ ip, last }) => [ip.plus(2), last]).filter(isAway);
  const some = hosts.length > 0 ? hosts : spare.slice(0, 1);
  const isOne = captured.length === 0 && rules.length === 0;
  return (isOne ? some.slice(0, 1) : [...captured, ...some]).slice(0, MOST_WAYS);
}

/** As a container would have it: not the first, which is the bridge's. */
const addressIn = (block: Prefix): Ip => (block.size > 2n ? block.ip.plus(2) : block.ip);
