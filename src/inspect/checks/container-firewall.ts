/**
 * Rules inside containers on the overlay that drop what goes to or comes from other hosts. A container may have a firewall
 * of its own: one that lets some kinds of packets pass is meant so, and is not judged.
 */

import { Prefix } from '../../base/prefix.ts';
import type { Packet } from '../../firewall/packets/packet.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member } from '../host/members.ts';
import { type Cause, commandText, inContainer } from './check.ts';
import { dropIn, droppingRule, type HookChain, hookChains } from './hook-chains.ts';

export async function checkContainerFirewalls(host: HostReader): Promise<Cause[]> {
  const [{ members }, peers, overlay] = await Promise.all([
    host.members(),
    host.peerSubnets(),
    host.overlay(),
  ]);
  const subnets = overlay?.subnets ?? [];
  const causes = members.map(async member => {
    const { inside } = member.container;
    // No program is started where the kernel has no rules that could drop.
    const nft = inside.canFilter().then(can => (can ? inside.nft() : undefined));
    const chains = await hookChains(inside, nft);
    return chains.length === 0 ? [] : judgeFirewall({ member, chains, subnets, peers });
  });
  return (await Promise.all(causes)).flat();
}

export interface FirewallFacts {
  readonly member: Member;
  readonly chains: readonly HookChain[];
  /** Of this host, and of others. */
  readonly subnets: readonly Prefix[];
  readonly peers: readonly Prefix[];
}

/** Hooks that packets to the container pass, and packets from it. */
const INCOMING = ['ingress', 'prerouting', 'input'];
const OUTGOING = ['output', 'postrouting', 'egress'];

function judgeFirewall({ member, chains, subnets, peers }: FirewallFacts): Cause[] {
  const { container, inner, addresses } = member;
  return subnets.flatMap(subnet => {
    const { family, length: hostLength } = subnet;
    const own = addresses.filter(({ ip }) => subnet.contains(ip)).map(({ ip }) => Prefix.ofOne(ip));
    const others = peers.filter(block => block.family === family);
    if (own.length === 0 || others.length === 0) return [];
    const common = { family, mark: 0, hostLength };
    const packets = [
      {
        ...common,
        name: 'packets of other hosts',
        source: others,
        destination: own,
        input: [inner.name],
        hooks: INCOMING,
      },
      {
        ...common,
        name: 'packets to other hosts',
        source: own,
        destination: others,
        output: [inner.name],
        hooks: OUTGOING,
      },
    ];
    return chains
      .filter(chain => chain.isOf(family))
      .flatMap(chain =>
        packets
          .filter(({ hooks }) => hooks.includes(chain.hook))
          .flatMap(packet => judgeChain(chain, packet)),
      )
      .map(({ cause, packet, chain, severity }) => ({
        code: 'CONTAINER_FIREWALL',
        severity,
        layer: 'container' as const,
        reason: `the firewall in the container ${container.name} drops ${packet.name}${severity === 'error' ? '' : ', if they are pings'}: ${cause}`,
        evidence: [`${container.name}: ${chain.place}: ${cause}`],
        remedy: `accept them there before they are dropped; ${commandText(inContainer(container, ...chain.look))} shows the rules`,
      }));
  });
}

type Judged = { cause: string; packet: Packet; chain: HookChain; severity: 'error' | 'warning' };

function judgeChain(chain: HookChain, packet: Packet): Judged[] {
  const cause = dropIn(chain, packet);
  if (cause !== undefined) return [{ cause, packet, chain, severity: 'error' }];
  const protocol = packet.family === 'ipv4' ? 'icmp' : 'ipv6-icmp';
  const ofPings = droppingRule(chain, { ...packet, protocol });
  return ofPings === undefined ? [] : [{ cause: ofPings, packet, chain, severity: 'warning' }];
}
