/**
 * What of a host is on the overlay: the bridges with an address of its subnet, and the ends of containers that are ports
 * of them, or have such an address. Everything else on the host is no business of a check: bridges of people, networks of
 * Docker beside the overlay, L2 networks of Tulle.
 */
import { Prefix } from '../../base/prefix.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import type { Container, ContainerLink } from './containers.ts';
import type { HostOverlay } from './overlay.ts';

export interface OverlayBridge {
  readonly link: Link;
  /** Of the host's own subnets. Empty where the bridge is known by its containers only. */
  readonly addresses: readonly Address[];
  /** All others, without those of the link only. */
  readonly others: readonly Address[];
}

/** One end of a container on the overlay. */
export interface Member extends ContainerLink {
  readonly container: Container;
  /** Of the end inside, without those of the link only (fe80::). */
  readonly addresses: readonly Address[];
  /** Where it belongs; absent where the host has no bridge of the overlay. */
  readonly home?: OverlayBridge;
}

export interface Members {
  readonly bridges: readonly OverlayBridge[];
  readonly members: readonly Member[];
}

export interface MemberSources {
  readonly overlay: HostOverlay | undefined;
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** With the addresses in each. */
  readonly containers: readonly { readonly container: Container; readonly addresses: readonly Address[] }[];
}

const RT_SCOPE_GLOBAL = 0;
const isGlobal = ({ scope }: Address) => scope === RT_SCOPE_GLOBAL;

export function membersOf({ overlay, links, addresses, containers }: MemberSources): Members {
  const isOwn = ({ ip }: Address) => overlay?.subnets.some(block => block.contains(ip)) === true;
  const ends = containers.flatMap(({ container, addresses: all }) =>
    container.links.map(link => ({
      ...link,
      container,
      addresses: all.filter(address => address.index === link.inner.index && isGlobal(address)),
    })),
  );
  const bridgeOf = (link: Link): OverlayBridge => {
    const all = addresses.filter(address => address.index === link.index && isGlobal(address));
    return { link, addresses: all.filter(isOwn), others: all.filter(address => !isOwn(address)) };
  };
  const known = links.filter(({ info }) => info?.kind === 'bridge').map(bridgeOf);
  const addressed = known.filter(bridge => bridge.addresses.length > 0);
  // A bridge that has lost its address is known by what is behind it.
  const behind = known.filter(({ link }) =>
    ends.some(end => end.bridge?.index === link.index && end.addresses.some(isOwn)),
  );
  const bridges = addressed.length > 0 ? addressed : behind;
  const members = ends.flatMap((end): Member[] => {
    const own = bridges.find(({ link }) => link.index === end.bridge?.index);
    const isMember = own !== undefined || end.addresses.some(isOwn);
    if (!isMember || isPassedOn(end)) return [];
    const home = own ?? bridges.find(bridge => shares(bridge, end.addresses)) ?? bridges[0];
    return [{ ...end, ...(home && { home }) }];
  });
  return { bridges, members };
}

/** Whether the bridge and one of these addresses are in one subnet. */
const shares = (bridge: OverlayBridge, addresses: readonly Address[]) =>
  bridge.addresses.some(({ ip, length }) => addresses.some(one => Prefix.of(ip, length).contains(one.ip)));

/** What carries other links (a bridge in the container, macvlan) has no addresses of its own. */
function isPassedOn({ inner, container }: Pick<Member, 'inner' | 'container'>): boolean {
  const isUpper = ({ lower, netnsId }: Link) => lower === inner.index && netnsId === undefined;
  return inner.master !== undefined || container.allLinks.some(isUpper);
}
