/**
 * What measuring alone says of a failure that no finding of a host explains: the rule, the kernel's reason, or between which
 * two links the packet ends. Nothing is guessed: what is not measured is said as what it is. Pure.
 */
import type { Finding } from '../../../api/inspection.ts';
import { valuesOf } from '../../../base/per-family.ts';
import { commandText } from '../../checks/check.ts';
import { DROP_CAUSES, isDropOf } from '../../drops/drop-causes.ts';
import { type Around, byWay, type Said } from './by-way.ts';
import { evidenceFor } from './passage.ts';
import type { Place } from './place.ts';
import type { Root } from './roots.ts';
import { bySenderFilter } from './sender-filter.ts';

export function measured(root: Root, place: Place | undefined, around: Around): Finding {
  const said =
    (place &&
      (bySenderFilter(root, place, around) ??
        byVerdict(place) ??
        byOtherHost(root, place, around) ??
        byForeignVni(root, place, around) ??
        byDrop(place) ??
        bySilence(root, place, around) ??
        byTranslation(place))) ??
    byWay(root, place, around);
  return { ...said, severity: 'error', evidence: evidenceFor(root, place, around.site), fixable: false };
}

const whatOf = (place: Place, { rung }: Root): string =>
  place.packet === 'reply' ? `the answers of ${rung.to}` : `packets to ${rung.to}`;

function byVerdict(place: Place): Said | undefined {
  const verdict = place.verdicts.find(({ end }) => end !== 'translated');
  if (verdict === undefined) return undefined;
  const { host, chain, rule, container, end } = verdict;
  const whose = container === undefined ? host : `the container ${container} on ${host}`;
  return {
    code: container === undefined ? 'FIREWALL_DROP' : 'CONTAINER_FIREWALL',
    layer: container === undefined ? 'firewall' : 'container',
    host,
    reason: `a rule of ${whose}, in ${chain}, ${end === 'rejected' ? 'rejects' : 'drops'} packets of the overlay: ${rule}`,
    remedy: `remove the rule, or let packets of the overlay pass before it: ${rule}`,
  };
}

function byDrop(place: Place): Said | undefined {
  for (const cause of DROP_CAUSES) {
    const drop = place.drops.find(one => isDropOf(cause, one));
    if (drop === undefined) continue;
    const { why, code, layer, remedyOn } = cause;
    const { host, link, container, reason, programs = [] } = drop;
    const remedy = remedyOn(link ?? 'LINK');
    const on = link === undefined ? '' : ` on ${link}`;
    const where = container === undefined ? host : `the container ${container} on ${host}`;
    const isInside = container !== undefined && reason === 'NETFILTER_DROP';
    return {
      code,
      layer,
      ...(isInside && { code: 'CONTAINER_FIREWALL', layer: 'container' }),
      host,
      remedy: container === undefined ? remedy : `in the container ${container}: ${remedy}`,
      reason: `${where} drops packets${on} ${why}${programs.length === 0 ? '' : `: ${programs.join(' or ')}`}`,
    };
  }
  return undefined;
}

/** Whoever is alone with its VNI has the wrong one: by itself, or in its entry for this peer. */
function byForeignVni({ peer }: Root, { drops }: Place, { site, others }: Around): Said | undefined {
  const drop = drops.find(({ reason }) => reason === 'VXLAN_VNI_NOT_FOUND');
  if (drop === undefined || peer === undefined || others === undefined || others === 'some') return undefined;
  const host = others === 'all' ? peer.peer.name : site.host;
  if (host === drop.host) return undefined;
  return {
    code: 'VNI_MISMATCH',
    layer: 'tunnel',
    host,
    reason: `${host} sends with a VNI that no tunnel of ${drop.host} has, and others send to it with another one`,
    remedy: `ip -d link show type vxlan; bridge fdb show # on ${host}: an entry may have a VNI of its own; a running agent sees to it`,
  };
}

/** A frame for another MAC address than the receiver has is wrong where it was sent. */
function byOtherHost({ peer }: Root, { drops }: Place, { site, others }: Around): Said | undefined {
  const drop = drops.find(({ reason, container }) => reason === 'OTHERHOST' && container === undefined);
  if (drop?.link === undefined || peer === undefined) return undefined;
  const { host, link } = drop;
  const isTunnel = valuesOf(site.tunnel).includes(link);
  if (!isTunnel && link !== site.underlayLink) return undefined;
  // That all others are wrong about one host comes from what is said of that host.
  if (isTunnel && host === site.host && others === 'none')
    return {
      code: 'TUNNEL_MAC',
      layer: 'tunnel',
      host,
      reason: `${link} of ${host} does not have the MAC address that ${peer.peer.name} sends to: what the others know of it, by its lease, is another one`,
      remedy: `compare \`tulle lease show ${host}\` with \`ip link show ${link}\` on ${host}; a running agent sees to it`,
    };
  const sender = host === site.host ? peer.peer.name : site.host;
  return {
    code: isTunnel ? 'TUNNEL_NEIGHBOR' : 'UNDERLAY_NEIGHBOR',
    layer: isTunnel ? 'tunnel' : 'neighbor',
    host: sender,
    reason: `${sender} sends to a MAC address that ${link} of ${host} does not have: its neighbor entry for ${host} is wrong`,
    remedy: isTunnel
      ? `ip neigh show dev ${link} # on ${sender}: that of ${host} must have the address that 'ip link show ${link}' prints there; a running agent sees to it`
      : `ip neigh show dev ${link} # on ${sender}: that of ${host} must have the address that 'ip link show ${link}' prints there`,
  };
}

/** A packet with another address than it was sent with goes elsewhere, or its answer does. */
function byTranslation({ verdicts, translated }: Place): Said | undefined {
  const rule = verdicts.find(({ end }) => end === 'translated');
  const [seen] = translated;
  if (rule === undefined && seen === undefined) return undefined;
  const host = rule?.host ?? seen?.host ?? '';
  const whose = rule?.container === undefined ? host : `the container ${rule.container} on ${host}`;
  const how = rule === undefined ? (seen?.text ?? '') : `${rule.chain}: ${rule.rule}`;
  return {
    code: 'TRANSLATED',
    layer: 'nat',
    host,
    reason: `${whose} gives packets of the overlay another address, and they, or the answers to them, do not arrive: ${how}`,
    remedy: `let packets of the overlay keep their addresses: accept them before that rule, or remove it`,
  };
}

/** An address that ARP or neighbor discovery found nobody for, on the host where the packets end. */
function bySilence(root: Root, place: Place, { site, others }: Around): Said | undefined {
  const silent = place.silent.find(({ host }) => place.segments.some(at => at.host === host));
  if (silent === undefined) return undefined;
  const { host, address, askedBy, link, point } = silent;
  const isInside = point === 'port' || point === 'bridge';
  const peerAt = (address: string) =>
    site.peers.find(({ underlay }) => valuesOf(underlay).some(ip => String(ip) === address));
  const [owner, asker] = [peerAt(address), peerAt(askedBy)];
  if (isInside && owner !== undefined && owner.name !== host)
    return {
      code: 'UNDERLAY_ROUTE',
      layer: 'underlay',
      host,
      reason: `${host} asks for ${address}, the address of ${owner.name}, on ${link}, where nobody answers: that is not the link to the other hosts`,
      remedy: `compare what ip rule, ip route and bridge fdb show on ${host} with the way that it should have`,
    };
  // Requests are broadcast: it is another host that looks for a way to this one, and for another way than there is.
  if (!isInside && owner === undefined && asker !== undefined && asker.name !== host)
    return {
      code: 'UNDERLAY_ROUTE',
      layer: 'underlay',
      host: asker.name,
      reason: `${asker.name} asks for ${address} on ${link} of ${host}, and nobody answers: what it sends to ${host} goes by way of ${address}`,
      remedy: `compare what ip rule and ip route show on ${asker.name} with the route that it should have`,
    };
  if (!isInside && owner !== undefined)
    return {
      code: 'UNDERLAY_SILENT',
      layer: 'underlay',
      // Nobody answers the one that is cut off.
      host: host === site.host && others === 'none' ? host : owner.name,
      reason: `${owner.name} does not answer when ${address} is asked for on ${link} of ${host} (${address.includes(':') ? 'neighbor discovery' : 'ARP'}), so ${whatOf(place, root)} end there`,
      remedy: `see whether ${owner.name} runs, has ${address} and is on that network`,
    };
  return {
    code: isInside ? 'CONTAINER_SILENT' : 'UNDERLAY_NEIGHBOR',
    layer: isInside ? 'container' : 'neighbor',
    host,
    reason: `nothing on ${link} of ${host} answers when ${address} is asked for (${address.includes(':') ? 'neighbor discovery' : 'ARP'}), so ${whatOf(place, root)} end there`,
    remedy: commandText(['ip', 'neighbor', 'show', address]),
  };
}
