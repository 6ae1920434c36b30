/** Facts for judgements of checks: links, bridges and containers as the kernel would list them. */
import { Mac } from '../../src/base/mac.ts';
import { parseInterfaceAddress } from '../../src/base/prefix.ts';
import type { Container } from '../../src/inspect/host/containers.ts';
import type { Member, OverlayBridge } from '../../src/inspect/host/members.ts';
import type { NamespaceReader } from '../../src/inspect/host/namespace-reader.ts';
import type { Address, Link } from '../../src/netlink/route/objects.ts';

const UP = 0x1 | 0x10000;

/** Up, with carrier and an MTU of 1450. */
export function linkOf(name: string, index: number, more: Partial<Link> = {}): Link {
  const mac = Mac.parse(`02:00:00:00:00:${index.toString(16).padStart(2, '0')}`);
  return { name, index, type: 1, flags: UP, up: true, running: true, mtu: 1450, mac, ...more };
}

export function addressOf(index: number, text: string): Address {
  const { ip, length } = parseInterfaceAddress(text);
  return { index, ip, length, family: ip.family, scope: 0, flags: 0x80, unknown: [] };
}

/** Of the overlay. */
export function bridgeOf(name: string, index: number, addresses: readonly string[]): OverlayBridge {
  return {
    link: linkOf(name, index, { info: { kind: 'bridge', vlanFiltering: true } }),
    addresses: addresses.map(text => addressOf(index, text)),
    others: [],
  };
}

export interface MemberOptions {
  readonly name: string;
  readonly outer: Link;
  readonly inner?: Partial<Link>;
  readonly home?: OverlayBridge;
  readonly addresses?: readonly string[];
}

/** A container behind a port of its bridge. What is read inside it is not there. */
export function memberOf({ name, outer, inner: more = {}, home, addresses = [] }: MemberOptions): Member {
  const inner = linkOf('eth0', 2, more);
  const container: Container = {
    name,
    inside: undefined as unknown as NamespaceReader,
    links: [{ inner, outer }],
    allLinks: [inner],
    enter: ['nsenter', `--net=/run/netns/${name}`],
  };
  const bridge = home !== undefined && outer.master === home.link.index ? home.link : undefined;
  return {
    container,
    inner,
    outer,
    ...(bridge && { bridge }),
    ...(home && { home }),
    addresses: addresses.map(text => addressOf(2, text)),
  };
}
