/**
 * What the firewall has to do for an overlay network, as data that both engines render.
 *
 * The rules are flannel's (pkg/trafficmngr/iptables/iptables.go), in flannel's order. N is the whole network,
 * S the subnet of this host, M multicast:
 *
 *     masquerade  1  marked 0x4000         return      kube-proxy masquerades it already
 *                 2  S -> N                return      containers see each other's own addresses
 *                 3  N -> S                return
 *                 4  not N -> S            return      what comes from outside keeps its source
 *                 5  N -> not M            masquerade  containers to the rest of the world
 *                 6  not N -> N            masquerade  a host with a source outside the overlay
 *     forward     1  N -> any              accept      dockerd sets the policy of FORWARD to DROP
 *                 2  any -> N              accept
 *
 * Of an L2 network with the subnet L and the bridge B, which has one way out, the gateway:
 *
 *     masquerade  1  out to any B          return      between stations, where the kernel shows bridged frames
 *                 2  L -> not M            masquerade  to the rest of the world
 *     forward     1  in from B, out to B   accept      the same frames: br_netfilter takes them to FORWARD
 *                 2  L, in from B          accept
 *                 3  -> L, out to B        accept
 *
 * No packet is routed between two L2 networks, or between one and the overlay. This comes before whatever others accept,
 * and is asked for or not, as the masquerade is. T is any bridge of an L2 network:
 *
 *     isolation   1  not in T, not out T   return      for all other traffic that is all
 *                 2  sent elsewhere        return      DNAT: to a published port, or an answer from one
 *                 3  in from B, out to B   return
 *                 4  in from T, out to B   drop
 *                 5  N, out to B           drop
 *                 6  -> N, in from B       drop
 *
 * And some that flannel does not have. D is the device of the overlay, of which there are two while a network goes over
 * to another one; P is the underlay address of a peer, for each of them:
 *
 *     source      1  marked 0x4000         return      what others would masquerade keeps its source, as docker0's
 *                 2  S -> S                return      MASQUERADE does with all that leaves by another link; but
 *                 3  S -> N                keep        dockerd needs it for published ports of a container's own host
 *                 4  N -> S                keep
 *     mark        1  N, in from D          mark        for dockerd 29 with --bridge-accept-fwmark
 *     overlay     1  N -> S, in from D     accept      where something drops it before `forward`: dockerd 28 does
 *                 2  S -> N, out to D      accept
 *     tunnel      1  P, UDP port           accept      where INPUT drops what no rule accepts
 *     api         1  P, TCP port           accept      likewise
 */
import { ADDRESS_BITS, type Family, Ip } from '../base/ip.ts';
import { valuesOf } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import type { DesiredFirewall, OverlayBlock, SegmentBlock, TunnelTraffic } from './desired.ts';
import { type OverlayPackets, overlayPackets } from './packets/overlay-packets.ts';

export interface AddressMatch {
  readonly prefix: Prefix;
  /** Everything but the prefix. */
  readonly not: boolean;
}

export interface LinkMatch {
  /** With a `*` at the end every name that begins so. */
  readonly name: string;
  /** Every link but these. */
  readonly not: boolean;
}

export interface FirewallRule {
  readonly mark?: typeof MASQUERADE_MARK;
  readonly source?: AddressMatch;
  readonly destination?: AddressMatch;
  /** Name of the link a packet came in on, and of the one it goes out by. */
  readonly input?: LinkMatch;
  readonly output?: LinkMatch;
  /** Destination port. */
  readonly port?: { readonly protocol: 'udp' | 'tcp'; readonly number: number };
  /** Only packets of connections whose destination was changed (DNAT), in both directions. */
  readonly isRedirected?: true;
  /** For whom the rule is, where it does not name one of its addresses. */
  readonly network?: Prefix;
  /**
   * `keep` makes the source address final, so that no later rule masquerades; `mark` sets OVERLAY_MARK and goes on;
   * what is dropped is counted.
   */
  readonly verdict: 'return' | 'accept' | 'drop' | 'masquerade' | 'keep' | 'mark';
}

/** The bit kube-proxy sets on packets that it will masquerade itself. */
export const MASQUERADE_MARK = 0x4000;

/** The rules of one address family. */
export interface RuleSet {
  /** Networks whose rules are ours: of these, what is not in a list below is removed. */
  readonly networks: readonly Prefix[];
  readonly masquerade: readonly FirewallRule[];
  readonly forward: readonly FirewallRule[];
  /** Before whatever forwards. */
  readonly isolation: readonly FirewallRule[];
  /** Before whatever changes a source. */
  readonly source: readonly FirewallRule[];
  readonly mark: readonly FirewallRule[];
  /** Only where something drops what comes over the overlay before `forward` accepts it. */
  readonly overlay: readonly FirewallRule[];
  /** Only where INPUT drops tunnel packets. */
  readonly tunnel: readonly FirewallRule[];
  /** Only where INPUT drops requests of peers to the agent. */
  readonly api: readonly FirewallRule[];
  readonly randomFully: boolean;
  /** What the rules of others must let pass. */
  readonly packets: OverlayPackets;
}

/** No rule of these networks. */
export const noRules = (networks: readonly Prefix[]): RuleSet => ({
  networks,
  masquerade: [],
  forward: [],
  isolation: [],
  source: [],
  mark: [],
  overlay: [],
  tunnel: [],
  api: [],
  randomFully: false,
  packets: {},
});

const MULTICAST = { ipv4: Prefix.parse('224.0.0.0/4'), ipv6: Prefix.of(Ip.parse('ff00::'), 8) } as const;

export function rulesFor(desired: DesiredFirewall, family: Family): RuleSet {
  const { masquerade, forward, randomFully, tunnel } = desired;
  const block = desired.blocks.find(({ network }) => network.family === family);
  const networks = networksIn(desired);
  const segments = desired.segments ?? [];
  const ofSegments = {
    // Its addresses mean nothing outside, whatever is asked for the overlay.
    masquerade: segmentMasquerade(segments, family),
    forward: forward ? segments.flatMap(segment => segmentForward(segment, family)) : [],
  };
  const ofBlock = block && {
    masquerade: masquerade ? masqueradeRules(block) : [],
    forward: forward ? forwardRules(block) : [],
    source: masquerade || forward ? sourceRules(block) : [],
    mark: forward ? markRules(block) : [],
    overlay: forward ? overlayRules(block) : [],
  };
  const [anyNetwork] = networks;
  const isOpened = tunnel?.isOpened === true && anyNetwork !== undefined;
  return {
    ...noRules(networks),
    ...ofBlock,
    randomFully: randomFully && (block !== undefined || segments.length > 0),
    masquerade: [...(ofBlock?.masquerade ?? []), ...ofSegments.masquerade],
    forward: [...(ofBlock?.forward ?? []), ...ofSegments.forward],
    isolation: segmentIsolation(segments, block?.network, family),
    ...(isOpened && inputRules(tunnel, block?.network ?? anyNetwork, family)),
    packets: overlayPackets(block, tunnel, family),
  };
}

/** Networks whose rules are ours. */
export const networksIn = ({
  blocks,
  segments = [],
  formerNetworks = [],
}: DesiredFirewall): readonly Prefix[] => [
  ...blocks.map(({ network }) => network),
  ...segments.flatMap(({ subnets }) => valuesOf(subnets)),
  ...formerNetworks,
];

function masqueradeRules({ network, subnet }: OverlayBlock): FirewallRule[] {
  return [
    { mark: MASQUERADE_MARK, verdict: 'return' },
    { source: is(subnet), destination: is(network), verdict: 'return' },
    { source: is(network), destination: is(subnet), verdict: 'return' },
    { source: not(network), destination: is(subnet), verdict: 'return' },
    { source: is(network), destination: not(MULTICAST[network.family]), verdict: 'masquerade' },
    { source: not(network), destination: is(network), verdict: 'masquerade' },
  ];
}

function forwardRules({ network }: OverlayBlock): FirewallRule[] {
  return [
    { source: is(network), verdict: 'accept' },
    { destination: is(network), verdict: 'accept' },
  ];
}

function sourceRules({ network, subnet }: OverlayBlock): FirewallRule[] {
  return [
    { mark: MASQUERADE_MARK, verdict: 'return' },
    { source: is(subnet), destination: is(subnet), verdict: 'return' },
    { source: is(subnet), destination: is(network), verdict: 'keep' },
    { source: is(network), destination: is(subnet), verdict: 'keep' },
  ];
}

function markRules({ network, devices = [] }: OverlayBlock): FirewallRule[] {
  return devices.map(device => ({ source: is(network), input: link(device), verdict: 'mark' }));
}

function overlayRules({ network, subnet, devices = [] }: OverlayBlock): FirewallRule[] {
  return devices.flatMap(device => [
    { source: is(network), destination: is(subnet), input: link(device), verdict: 'accept' },
    { source: is(subnet), destination: is(network), output: link(device), verdict: 'accept' },
  ]);
}

/** What is bridged keeps its source, whatever that is: a container may use any address. */
function segmentMasquerade(segments: readonly SegmentBlock[], family: Family): FirewallRule[] {
  const routed = routedSegments(segments, family);
  if (routed.length === 0) return [];
  return [
    ...segments.map(({ bridge, subnets }): FirewallRule => {
      const network = subnets[family] ?? valuesOf(subnets)[0];
      return { output: link(bridge), ...(network && { network }), verdict: 'return' };
    }),
    ...routed.map(
      ({ subnet }): FirewallRule => ({
        source: is(subnet),
        destination: not(MULTICAST[family]),
        verdict: 'masquerade',
      }),
    ),
  ];
}

function segmentForward(segment: SegmentBlock, family: Family): FirewallRule[] {
  const { subnets, gateways } = segment;
  const bridge = link(segment.bridge);
  const subnet = subnets[family];
  if (subnet === undefined) return [];
  const bridged: FirewallRule = { input: bridge, output: bridge, network: subnet, verdict: 'accept' };
  if (gateways[family] === undefined) return [bridged];
  return [
    bridged,
    { source: is(subnet), input: bridge, verdict: 'accept' },
    { destination: is(subnet), output: bridge, verdict: 'accept' },
  ];
}

/** Of a network without a gateway nothing is routed. */
function segmentIsolation(
  segments: readonly SegmentBlock[],
  overlay: Prefix | undefined,
  family: Family,
): FirewallRule[] {
  const routed = routedSegments(segments, family);
  const [first] = routed;
  if (first === undefined) return [];
  const { bridges, subnet } = first;
  const elsewhere: LinkMatch = { name: bridges, not: true };
  const others: FirewallRule = { input: elsewhere, output: elsewhere, network: subnet, verdict: 'return' };
  const rules = routed.flatMap(({ bridge: name, bridges, subnet: network }): FirewallRule[] => {
    const bridge = link(name);
    const ofOverlay: FirewallRule[] = overlay
      ? [
          { source: is(overlay), output: bridge, network, verdict: 'drop' },
          { destination: is(overlay), input: bridge, network, verdict: 'drop' },
        ]
      : [];
    return [
      { input: bridge, output: bridge, network, verdict: 'return' },
      { input: link(bridges), output: bridge, network, verdict: 'drop' },
      ...ofOverlay,
    ];
  });
  return [others, { isRedirected: true, network: subnet, verdict: 'return' }, ...rules];
}

/** Those whose packets this host forwards. */
const routedSegments = (segments: readonly SegmentBlock[], family: Family) =>
  segments.flatMap(({ bridge, bridges, subnets, gateways }) => {
    const subnet = subnets[family];
    return gateways[family] === undefined || subnet === undefined ? [] : [{ bridge, bridges, subnet }];
  });

/** What peers may send to this host itself. */
function inputRules(
  { ports, peers, apiPort }: TunnelTraffic,
  network: Prefix,
  family: Family,
): Pick<RuleSet, 'tunnel' | 'api'> {
  const sources = peers.filter(peer => peer.family === family).sort((a, b) => a.compare(b));
  const accept = (protocol: 'udp' | 'tcp', number: number) =>
    sources.map((ip): FirewallRule => {
      const source = is(Prefix.of(ip, ADDRESS_BITS[family]));
      return { source, port: { protocol, number }, network, verdict: 'accept' };
    });
  return {
    tunnel: ports.flatMap(port => accept('udp', port)),
    api: apiPort === undefined ? [] : accept('tcp', apiPort),
  };
}

const link = (name: string): LinkMatch => ({ name, not: false });
const is = (prefix: Prefix): AddressMatch => ({ prefix, not: false });
const not = (prefix: Prefix): AddressMatch => ({ prefix, not: true });
