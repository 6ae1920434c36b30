/**
 * Rules inside containers on the overlay that drop or translate what goes to or comes from other hosts. A container may have a
 * firewall of its own: one that lets some kinds of packets pass is meant so, and is not judged.
 */

import { Prefix } from '../../base/prefix.ts';
import type { Packet } from '../../firewall/packets/packet.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Member } from '../host/members.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';
import { dropIn, droppingRule, seesFamily, translatingRule } from './chain-drop.ts';
import { type Cause, commandText, inContainer } from './check.ts';
import { type BaseChains, baseChainsOf } from './firewall-chains.ts';

export async function checkContainerFirewalls(host: HostReader): Promise<Cause[]> {
  const [{ members }, peers, overlay] = await Promise.all([
    host.members(),
    host.peerSubnets(),
    host.overlay(),
  ]);
  const subnets = overlay?.subnets ?? [];
  const causes = members.map(async member => {
    const chains = await baseChainsOf(member.container.inside);
    return chains.length === 0 ? [] : await judgeFirewall({ member, chains, subnets, peers });
  });
  return (await Promise.all(causes)).flat();
}

export interface FirewallFacts {
  readonly member: Member;
  readonly chains: readonly BaseChains[];
  /** Of this host, and of others. */
  readonly subnets: readonly Prefix[];
  readonly peers: readonly Prefix[];
}

/** Hooks that packets to the container pass, and packets from it. */
const INCOMING = ['ingress', 'prerouting', 'input'];
const OUTGOING = ['output', 'postrouting', 'egress'];

async function judgeFirewall({ member, chains, subnets, peers }: FirewallFacts): Promise<Cause[]> {
  const { container, inner, addresses } = member;
  const judged = subnets.flatMap(subnet => {
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
      .filter(chain => seesFamily(chain, family))
      .flatMap(chain =>
        packets
          .filter(({ hooks }) => hooks.includes(chain.hook))
          .map(packet => judgeChain(container.inside, chain, packet)),
      );
  });
  return (await Promise.all(judged)).flat().map(({ cause, packet, chain, severity, verb }) => ({
    code: verb === 'drops' ? 'CONTAINER_FIREWALL' : 'TRANSLATED',
    severity,
    layer: 'container' as const,
    reason: `the firewall in the container ${container.name} ${verb} ${packet.name}${severity === 'error' ? '' : ', if they are pings'}: ${cause}`,
    evidence: [`${container.name}: ${chain.place}: ${cause}`],
    remedy: `accept them there before that; ${commandText(inContainer(container, ...chain.look))} shows the rules`,
  }));
}

interface Judged {
  readonly cause: string;
  readonly packet: Packet;
  readonly chain: BaseChains;
  readonly severity: 'error' | 'warning';
  readonly verb: 'drops' | 'changes an address of';
}

async function judgeChain(inside: NamespaceReader, chain: BaseChains, packet: Packet): Promise<Judged[]> {
  const translated = await translatingRule(chain, packet, inside);
  if (translated !== undefined)
    return [{ cause: translated, packet, chain, severity: 'error', verb: 'changes an address of' }];
  if (chain.type === 'nat') return [];
  const cause = await dropIn(chain, packet, inside);
  if (cause !== undefined) return [{ cause, packet, chain, severity: 'error', verb: 'drops' }];
  const protocol = packet.family === 'ipv4' ? 'icmp' : 'ipv6-icmp';
  const ofPings = await droppingRule(chain, { ...packet, protocol }, inside);
  return ofPings === undefined ? [] : [{ cause: ofPings, packet, chain, severity: 'warning', verb: 'drops' }];
}
