/**
 * The finding for a failure by where it ends and by what else answers: of the underlay, of the tunnel, or of large packets only.
 * Pure.
 */
import type { Finding } from '../../../api/inspection.ts';
import { Ip } from '../../../base/ip.ts';
import { valuesOf } from '../../../base/per-family.ts';
import { isOk, lossOf, type RungResult } from '../rung.ts';
import type { CheckSite } from '../site.ts';
import { passage } from './passage.ts';
import type { Place } from './place.ts';
import type { Root } from './roots.ts';

/** What is known of the peer beside the failure. */
export interface Around {
  readonly site: CheckSite;
  /** Whether other peers answer: undefined when there are none. */
  readonly others: 'all' | 'some' | 'none' | undefined;
  /** Of packets like these some flows to the peer pass, and others do not. */
  readonly flows?: FlowsAround | undefined;
  /** Whether both hosts watched. */
  readonly isWatched: boolean;
  /** Why the peer did not. */
  readonly unwatched?: string | undefined;
}

export interface FlowsAround {
  /** Every other peer has flows that are lost, too. */
  readonly isOfAll: boolean;
}

export type Said = Pick<Finding, 'code' | 'layer' | 'reason' | 'remedy'> & { readonly host: string };

/** `c1 of docker2 (188.172.205.2)` */
const targetOf = ({ target, to }: RungResult) => `${target} (${to})`;

/** By where it is lost, and what else answers. */
export function byWay(root: Root, place: Place | undefined, around: Around): Said {
  const { site, others } = around;
  const { rung, peer } = root;
  const isDirect = (peer?.peer.links ?? []).some(link => link === site.underlayLink);
  const isTunnelled = rung.kind !== 'underlay' && site.tunnel[rung.to.family] !== undefined && !isDirect;
  const onWire = place?.segments.length === 2 && place.segments.every(({ segment }) => segment === 'wire');
  const isOwn = others === 'none' || root.isOfOwn === true;
  const alone = isOwn ? site.host : (peer?.peer.name ?? site.host);
  if (rung.peer === undefined) return lost(root, place, around, site.host);
  // A size that does not pass never passes.
  if (rung.size === 'full' && root.state === 'broken') return tooLarge(root, place, around, alone);
  if (rung.kind === 'underlay' && (place === undefined || onWire || !around.isWatched))
    return underlay(root, place, around, alone);
  if (onWire && isTunnelled) {
    if (root.state === 'lossy') return loss(root, place, alone);
    if (around.flows !== undefined) return flowLoss(root, place, around, around.flows);
    const port = site.tunnelPort === undefined ? '' : ` (UDP port ${site.tunnelPort})`;
    return {
      code: 'UNDERLAY_UDP_BLOCKED',
      layer: 'underlay',
      host: alone,
      reason: `the network between the hosts does not carry the tunnel's packets${port}: ${passage(place)}, although ${rung.peer} answers without the tunnel`,
      remedy: `let UDP port ${site.tunnelPort ?? ''} pass between ${site.host} and ${rung.peer}, both ways`,
    };
  }
  if (onWire && root.state === 'lossy') return loss(root, place, alone);
  if (onWire && isDirect)
    return {
      code: 'UNDERLAY_ADDRESSES_BLOCKED',
      layer: 'underlay',
      host: alone,
      reason: `the network between the hosts does not carry packets with addresses of containers: ${passage(place)}, although ${rung.peer} answers with its own address`,
      remedy: `let the overlay's addresses pass between ${site.host} and ${rung.peer}: a cloud checks source and destination, a switch or router may as well; or choose a backend with a tunnel`,
    };
  const host = isNear(root, place) ? site.host : alone;
  return byRefusal(root, place, around) ?? lost(root, place, around, endOf(place, around) ?? host);
}

/** Nobody has watched, and this host itself reaches what its container does not. */
const isNear = ({ rung, peer }: Root, place: Place | undefined): boolean =>
  place === undefined &&
  rung.container !== undefined &&
  peer?.rungs.some(one => one.kind === 'host' && one.to.equals(rung.to) && isOk(one)) === true;

/** A router says that the packet may not go on: where nobody has watched, that is the best that is known. */
function byRefusal(root: Root, place: Place | undefined, around: Around): Said | undefined {
  const { refusal } = root.rung;
  const from = refusal?.from === undefined ? undefined : Ip.tryParse(refusal.from);
  if (place !== undefined || from === undefined) return undefined;
  const { site } = around;
  const isOf = ({ subnets, underlay }: Pick<CheckSite, 'subnets' | 'underlay'>) =>
    valuesOf(underlay).some(ip => ip.equals(from)) || valuesOf(subnets).some(block => block.contains(from));
  const host = isOf(site) ? site.host : site.peers.find(isOf)?.name;
  return host === undefined ? undefined : lost(root, place, around, host);
}

/** The host in which it ends. What left by the underlay's link, and nobody watched for on the other side, is not lost here. */
function endOf(place: Place | undefined, { isWatched }: Around): string | undefined {
  const [first] = place?.segments ?? [];
  return first?.segment === 'wire' && !isWatched ? undefined : first?.host;
}

function underlay(root: Root, place: Place | undefined, around: Around, host: string): Said {
  const { rung, state } = root;
  if (state === 'lossy') return loss(root, place, host);
  const between = `${around.site.host} and ${rung.peer ?? ''}`;
  if (around.isWatched && place?.packet === 'reply')
    return {
      code: 'UNDERLAY_ONE_WAY',
      layer: 'underlay',
      host,
      reason: `the network between the hosts carries packets one way only: ${rung.peer} gets those of ${around.site.host} and answers, and its answers are lost`,
      remedy: `look at filters and routes between ${between}`,
    };
  const refusal = rung.refusal === undefined ? '' : `: ${rung.refusal.text}`;
  return {
    code: 'UNDERLAY_SILENT',
    layer: 'underlay',
    host,
    reason: `${rung.to}, the address of ${rung.peer}, does not answer${refusal}${aloneText(around)}`,
    remedy: `see whether ${rung.peer} runs, and whether \`ip address\` there shows ${rung.to}`,
  };
}

const loss = ({ rung }: Root, place: Place | undefined, host: string): Said => ({
  code: 'UNDERLAY_LOSS',
  layer: 'underlay',
  host,
  reason: `${lossOf(rung)} % of the packets to ${rung.peer} and back are lost${place === undefined ? '' : `: ${passage(place)}`}`,
  remedy: 'look at the counters of errors and drops on the way: `ip -s link`',
});

/** Of the tunnel's packets the UDP source port says which flow they are of, and by it switches and routers choose the way. */
const flowLoss = ({ rung }: Root, place: Place, { site }: Around, { isOfAll }: FlowsAround): Said => ({
  code: 'UNDERLAY_LOSS',
  layer: 'underlay',
  host: isOfAll ? site.host : (rung.peer ?? site.host),
  reason: `some flows in the tunnel between ${site.host} and ${isOfAll ? 'each peer' : rung.peer} are lost, each with all of its packets, and others pass: ${passage(place)}`,
  remedy: `look for a broken one among links in parallel (a bond, ECMP) on the way, or a filter of UDP source ports: they tell the flows apart`,
});

function tooLarge(root: Root, place: Place | undefined, { site }: Around, host: string): Said {
  const { rung } = root;
  const passes = rung.largest === undefined ? 'smaller ones pass' : `at most ${rung.largest} bytes pass`;
  const refusal = rung.refusal;
  const isOwn = refusal?.kind === 'too big' && refusal.from === undefined;
  const isUnderlay = rung.kind === 'underlay';
  const said = refusal === undefined ? ' and no ICMP error says so' : `: ${refusal.text}`;
  return {
    code: refusal === undefined ? 'PATH_MTU_BLACK_HOLE' : isUnderlay ? 'UNDERLAY_SIZE' : 'PATH_MTU',
    layer: 'mtu',
    host: isOwn ? site.host : ((place?.segments.length === 1 ? place.segments[0]?.host : undefined) ?? host),
    reason: `packets of ${rung.bytes} bytes to ${targetOf(rung)} are lost, ${passes}${said}`,
    remedy:
      rung.largest === undefined
        ? `ping -M do -s ${rung.bytes - 28} ${rung.to} shows it by hand`
        : `raise the MTU on the way to ${rung.bytes}, or lower that of the underlay's link to what passes: the network follows it`,
  };
}

function lost(root: Root, place: Place | undefined, around: Around, host: string): Said {
  const { rung, state } = root;
  const share = state === 'lossy' ? `${lossOf(rung)} % of the packets` : 'packets';
  const where =
    place === undefined
      ? ' get no answer, and nobody could watch where they end'
      : ` are lost: ${passage(place)}`;
  const reasons = [...new Set((place?.drops ?? []).map(drop => `${drop.reason} on ${drop.host}`))];
  const kernel = reasons.length === 0 ? '' : `; the kernel drops them as ${reasons.join(', ')}`;
  const refusal =
    rung.refusal === undefined ? '' : `; ${rung.refusal.from ?? 'this host'} says: ${rung.refusal.text}`;
  const blind =
    around.unwatched === undefined || rung.peer === undefined
      ? ''
      : `; ${rung.peer} could not be asked (${around.unwatched})`;
  return {
    code: 'PACKET_LOST',
    layer: place === undefined && rung.peer === undefined ? 'bridge' : layerOf(place),
    host,
    reason: `${share} from ${rung.container ?? around.site.host} to ${targetOf(rung)}${where}${kernel}${refusal}${blind}${aloneText(around)}`,
    remedy:
      blind !== '' && host === rung.peer && root.peer?.peer.isTulle === true
        ? `\`tulle check\` on ${host} sees what cannot be seen from here`
        : `\`tulle capture\` on ${host} shows which packets still come`,
  };
}

function layerOf(place: Place | undefined): Finding['layer'] {
  const [at] = place?.segments ?? [];
  if (at?.segment === 'container' || at?.segment === 'bridge' || at?.segment === 'tunnel') return at.segment;
  return at?.segment === 'forward' ? 'routing' : 'underlay';
}

const aloneText = ({ others, site }: Around): string =>
  others === 'none'
    ? `; no other peer answers ${site.host} either`
    : others === 'all'
      ? '; all other peers answer'
      : '';
