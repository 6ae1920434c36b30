/**
 * What rules of a host make of the addresses of a packet: a published port leads to a container, and what leaves the overlay
 * gets the host's own source. The rules are read; of answers, connection tracking alone decides, which gives back what
 * it has changed.
 */
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { follow, type Stop } from '../../firewall/packets/follow.ts';
import type { Packet } from '../../firewall/packets/packet.ts';
import { isPortTable } from '../../firewall/ports/port-table.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { type BaseChains, baseChainsOf } from '../checks/firewall-chains.ts';
import type { PacketWay } from './way.ts';

type Hook = 'prerouting' | 'output' | 'postrouting';

interface Links {
  readonly input?: Link | undefined;
  readonly output?: Link | undefined;
}

interface Translation {
  /** Absent for what connection tracking gives back. */
  readonly rule?: string;
  readonly address?: Ip | undefined;
  readonly port?: number | undefined;
}

/** Before the route is looked for. @param isForHost whether its destination is an address of this host */
export async function translateDestination(
  way: PacketWay,
  input: Link | undefined,
  isForHost: boolean,
): Promise<void> {
  const { to } = way.restored;
  if (input !== undefined && to !== undefined && to !== String(way.to)) {
    way.to = Ip.parse(to);
    addHop(way, `Connection tracking knows the answer: it is for ${to}, which has asked.`);
    return;
  }
  if (!way.opens) return;
  const hook = input === undefined ? 'output' : 'prerouting';
  const found = (await published(way, isForHost)) ?? (await ruleAt(way, hook, { input, isForHost }));
  if (found?.address === undefined && found?.port === undefined) return;
  const before = endOf(way);
  way.redirect(found.address ?? way.to, found.port ?? way.toPort);
  const what = isForHost ? 'The port is published' : 'A rule changes its destination';
  addHop(way, `${what}: ${before} becomes ${endOf(way)}.`, found.rule);
}

/** What the source becomes; undefined where it stays. */
export async function sourceAfter(way: PacketWay, links: Links): Promise<Translation | undefined> {
  const { restored, from, to, host } = way;
  if (restored.from !== undefined)
    return restored.from === String(from) ? undefined : { address: Ip.parse(restored.from) };
  if (!way.opens || links.output === undefined) return undefined;
  const found = (await back(way, links.output)) ?? (await ruleAt(way, 'postrouting', links));
  if (found === undefined) return undefined;
  const address = found.address ?? (await host.lookup(to)).route?.preferredSource;
  return address === undefined || address.equals(from) ? undefined : { ...found, address };
}

export function translateSource(way: PacketWay, { rule, address = way.from }: Translation): void {
  const before = way.from;
  way.from = address;
  addHop(
    way,
    rule === undefined
      ? `Connection tracking knows the answer: it is from ${address}, which was asked.`
      : `Its source ${before} becomes ${address}, so that the answer comes back to ${way.name}.`,
    rule,
  );
}

/** A published port of a station on the same bridge, which would answer past this host. */
async function back(way: PacketWay, output: Link): Promise<Translation | undefined> {
  const own = way.addresses.find(
    ({ index, ip, length }) => index === output.index && Prefix.of(ip, length).contains(way.from),
  );
  if (own === undefined || output.info?.kind !== 'bridge') return undefined;
  const isPublished = (await way.host.publishedPorts()).some(
    ({ protocol, target, targetPort }) =>
      protocol === way.protocol && target.equals(way.to) && targetPort === way.toPort,
  );
  return isPublished && way.isRedirected
    ? { rule: 'tulle-ports postrouting: masquerade', address: own.ip }
    : undefined;
}

const endOf = ({ to, toPort }: PacketWay): string =>
  toPort === undefined ? String(to) : to.family === 'ipv6' ? `[${to}]:${toPort}` : `${to}:${toPort}`;

function addHop(way: PacketWay, story: string, rule?: string): void {
  way.add({ place: way.name, layer: 'nat', story, entries: rule === undefined ? [] : [rule] });
}

/** By a table of Tulle's own, whose maps have the ports. */
async function published(way: PacketWay, isForHost: boolean): Promise<Translation | undefined> {
  const { to, toPort, protocol, host } = way;
  if (!isForHost || toPort === undefined) return undefined;
  const [exact, any] = (await host.publishedPorts())
    .filter(
      port =>
        port.protocol === protocol &&
        port.hostPort === toPort &&
        port.target.family === to.family &&
        (port.hostIp === undefined || port.hostIp.equals(to)),
    )
    .toSorted((one, other) => Number(one.hostIp === undefined) - Number(other.hostIp === undefined));
  const found = exact ?? any;
  if (found === undefined) return undefined;
  const from = found.hostIp === undefined ? '' : `${found.hostIp} . `;
  return {
    rule: `tulle-ports: ${from}${protocol} . ${toPort} : ${found.target} . ${found.targetPort}`,
    address: found.target,
    port: found.targetPort,
  };
}

/** The first rule that surely applies; that of the first chain, as the kernel translates a connection once. */
async function ruleAt(
  way: PacketWay,
  hook: Hook,
  known: Links & { readonly isForHost?: boolean },
): Promise<Translation | undefined> {
  const packet = packetOf(way, known);
  const chains = (await baseChainsOf(way.host, { withOurs: true }))
    .filter(one => one.type === 'nat' && one.hook === hook && isOf(one, packet) && !isPortTable(one.table))
    .toSorted((one, other) => one.priority - other.priority);
  for (const base of chains) {
    const { end, isSure, stops } = follow(packet, base.chains, base.name);
    const stop = stops.at(-1);
    if (end !== 'stopped' || !isSure || stop?.kind !== 'nat') continue;
    const text = await base.textOf(stop, way.host);
    return { rule: `${placeOf(base, stop)}: ${text.replace(/^-A \S+ /, '')}`, ...targetOf(text) };
  }
  return undefined;
}

function packetOf(
  { from, to, toPort, protocol }: PacketWay,
  { input, output, isForHost }: Links & { readonly isForHost?: boolean },
): Packet {
  return {
    name: 'the packet',
    family: to.family,
    source: [Prefix.ofOne(from)],
    destination: [Prefix.ofOne(to)],
    input: input === undefined ? [] : [input.name],
    ...(output !== undefined && { output: [output.name] }),
    protocol: protocol === 'icmp' && to.family === 'ipv6' ? 'ipv6-icmp' : protocol,
    ...(toPort !== undefined && { destinationPorts: [toPort] }),
    mark: 0,
    ...(isForHost !== undefined && { isForHost }),
    hostLength: to.family === 'ipv4' ? 32 : 128,
  };
}

const isOf = ({ family }: BaseChains, packet: Packet): boolean =>
  family === 'inet' || family === (packet.family === 'ipv4' ? 'ip' : 'ip6');

const placeOf = ({ place, name }: BaseChains, { chain }: Stop): string =>
  chain === name ? place : place.replace(/\S+$/, chain);

/** `--to-destination 10.5.2.2:80`, `dnat to 10.5.2.2:80`, `snat to 192.0.2.1`; empty for a masquerade. */
function targetOf(text: string): Pick<Translation, 'address' | 'port'> {
  const [, word = ''] = /(?:--to-destination|--to-source|\b[ds]nat (?:ip6? )?to) (\S+)/.exec(text) ?? [];
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(word) ?? [];
  const address = Ip.tryParse(bracketed ?? plain ?? word) ?? Ip.tryParse(word);
  return { address, port: port === undefined ? undefined : Number(port) };
}
