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
 * And one that flannel does not have, for hosts whose dockerd (28 and later) drops what comes to a container otherwise
 * than through its bridge. D is the device of the overlay; there are two while a network goes over to another one:
 *
 *     overlay     1  N -> S, in from D     accept
 */
import { type Family, Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';

/** One address family of the overlay, as this host sees it. */
export interface OverlayBlock {
  readonly network: Prefix;
  /** The subnet leased to this host. */
  readonly subnet: Prefix;
  /** Names of the links over which packets of other hosts come in; absent where that is any. */
  readonly devices?: readonly string[];
}

/** The wanted firewall of one host, complete: what is not in it is removed if it is ours. */
export interface DesiredFirewall {
  /** Use nftables although iptables is there (`EnableNFTables`). */
  readonly nftables: boolean;
  /** At most one per family. */
  readonly blocks: readonly OverlayBlock[];
  /** Networks that this host had before: rules that name them are ours too. */
  readonly formerNetworks?: readonly Prefix[];
  /** Hide container addresses from everything outside the overlay (`--ip-masq`). */
  readonly masquerade: boolean;
  /** Let overlay traffic through a FORWARD policy of DROP (`--iptables-forward-rules`). */
  readonly forward: boolean;
  /** Let the kernel pick source ports at random where it can, against collisions under load. */
  readonly randomFully: boolean;
}

export interface AddressMatch {
  readonly prefix: Prefix;
  /** Everything but the prefix. */
  readonly not: boolean;
}

export interface Rule {
  readonly mark?: typeof MASQUERADE_MARK;
  readonly source?: AddressMatch;
  readonly destination?: AddressMatch;
  /** Name of the link a packet came in on. */
  readonly device?: string;
  readonly verdict: 'return' | 'accept' | 'masquerade';
}

/** The bit kube-proxy sets on packets that it will masquerade itself. */
export const MASQUERADE_MARK = 0x4000;

/** The rules of one address family. */
export interface RuleSet {
  /** Networks whose rules are ours: of these, what is not in a list below is removed. */
  readonly networks: readonly Prefix[];
  readonly masquerade: readonly Rule[];
  readonly forward: readonly Rule[];
  /** Only where dockerd drops what comes over the overlay. */
  readonly overlay: readonly Rule[];
  readonly randomFully: boolean;
}

/** No rule of these networks. */
export const noRules = (networks: readonly Prefix[]): RuleSet => ({
  networks,
  masquerade: [],
  forward: [],
  overlay: [],
  randomFully: false,
});

const MULTICAST = { ipv4: Prefix.parse('224.0.0.0/4'), ipv6: Prefix.of(Ip.parse('ff00::'), 8) } as const;

export function rulesFor(desired: DesiredFirewall, family: Family): RuleSet {
  const block = desired.blocks.find(({ network }) => network.family === family);
  const networks = networksOf(desired);
  if (block === undefined) return noRules(networks);
  return {
    networks,
    masquerade: desired.masquerade ? masqueradeRules(block) : [],
    forward: desired.forward ? forwardRules(block) : [],
    overlay: desired.forward ? overlayRules(block) : [],
    randomFully: desired.randomFully,
  };
}

/** Networks whose rules are ours. */
export const networksOf = ({ blocks, formerNetworks = [] }: DesiredFirewall): readonly Prefix[] => [
  ...blocks.map(({ network }) => network),
  ...formerNetworks,
];

function masqueradeRules({ network, subnet }: OverlayBlock): Rule[] {
  return [
    { mark: MASQUERADE_MARK, verdict: 'return' },
    { source: is(subnet), destination: is(network), verdict: 'return' },
    { source: is(network), destination: is(subnet), verdict: 'return' },
    { source: not(network), destination: is(subnet), verdict: 'return' },
    { source: is(network), destination: not(MULTICAST[network.family]), verdict: 'masquerade' },
    { source: not(network), destination: is(network), verdict: 'masquerade' },
  ];
}

function forwardRules({ network }: OverlayBlock): Rule[] {
  return [
    { source: is(network), verdict: 'accept' },
    { destination: is(network), verdict: 'accept' },
  ];
}

function overlayRules({ network, subnet, devices = [] }: OverlayBlock): Rule[] {
  return devices.map(device => ({
    source: is(network),
    destination: is(subnet),
    device,
    verdict: 'accept',
  }));
}

const is = (prefix: Prefix): AddressMatch => ({ prefix, not: false });
const not = (prefix: Prefix): AddressMatch => ({ prefix, not: true });
