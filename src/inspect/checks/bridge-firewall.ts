/**
 * Rules on the host that drop frames between containers of one bridge: of the family `bridge`, and those of iptables, which
 * bridged frames meet where br_netfilter is on. What goes to other hosts and comes from there is another check's.
 */
import type { Prefix } from '../../base/prefix.ts';
import type { Packet } from '../../firewall/packets/packet.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Members, OverlayBridge } from '../host/members.ts';
import { type Cause, commandText } from './check.ts';
import { dropIn, type HookChain, hookChains } from './hook-chains.ts';

const CALL = {
  ipv4: 'net/bridge/bridge-nf-call-iptables',
  ipv6: 'net/bridge/bridge-nf-call-ip6tables',
} as const;

export async function checkBridgeFirewall(host: HostReader): Promise<Cause[]> {
  const [members, overlay] = await Promise.all([host.members(), host.overlay()]);
  if (overlay === undefined || members.members.length < 2) return [];
  const chains = await hookChains(host, host.nft());
  const called = host.sysctls(Object.values(CALL));
  return judgeBridgeFirewall({ ...members, subnets: overlay.subnets, chains, called });
}

export interface BridgeFirewallFacts extends Members {
  /** Of this host. */
  readonly subnets: readonly Prefix[];
  readonly chains: readonly HookChain[];
  /** Values of `bridge-nf-call-*`; empty where there is no br_netfilter. */
  readonly called: ReadonlyMap<string, string>;
}

/** Hooks that a frame from port to port passes. */
const HOOKS = ['prerouting', 'forward', 'postrouting'];

function judgeBridgeFirewall({ bridges, members, subnets, chains, called }: BridgeFirewallFacts): Cause[] {
  return bridges.flatMap(bridge => {
    const ports = members
      .filter(({ outer }) => outer.master === bridge.link.index)
      .map(({ outer }) => outer.name);
    if (ports.length < 2) return [];
    return subnets.flatMap(subnet => {
      const isCalled = called.get(CALL[subnet.family]) === '1';
      return chains
        .filter(chain => chain.isOf(subnet.family) && HOOKS.includes(chain.hook))
        .filter(({ family }) => family === 'bridge' || (isCalled && ['ip', 'ip6', 'inet'].includes(family)))
        .flatMap(chain => judgeChain(chain, packetOf(chain, bridge, ports, subnet), bridge) ?? []);
    });
  });
}

/** iptables sees the bridge as the link of both ways (net/bridge/br_netfilter_hooks.c), nftables of the family the ports. */
function packetOf(
  { family, hook }: HookChain,
  { link }: OverlayBridge,
  ports: string[],
  subnet: Prefix,
): Packet {
  const links = family === 'bridge' ? ports : [link.name];
  return {
    name: 'packets between containers of this host',
    family: subnet.family,
    source: [subnet],
    destination: [subnet],
    ...(hook !== 'postrouting' && { input: links }),
    ...(hook !== 'prerouting' && { output: links }),
    mark: 0,
    hostLength: subnet.length,
  };
}

function judgeChain(chain: HookChain, packet: Packet, { link }: OverlayBridge): Cause | undefined {
  const cause = dropIn(chain, packet);
  if (cause === undefined) return undefined;
  const isBridge = chain.family === 'bridge';
  const evidence = [`${chain.place}: ${cause}`];
  return {
    code: isBridge ? 'BRIDGE_FIREWALL' : 'BRIDGE_NF_CALL',
    severity: 'error',
    layer: 'bridge',
    reason: isBridge
      ? `a rule drops packets between containers on ${link.name}: ${cause}`
      : `packets between containers on ${link.name} meet the rules for forwarded ones (br_netfilter), and are dropped: ${cause}`,
    evidence: isBridge ? evidence : [...evidence, `net.bridge.${CALL[packet.family].split('/').at(-1)} = 1`],
    remedy: isBridge
      ? `accept them there before they are dropped; ${commandText(chain.look)} shows the rules`
      : `iptables -I FORWARD -i ${link.name} -o ${link.name} -j ACCEPT; or take bridged packets away from iptables: sysctl -w net.bridge.bridge-nf-call-iptables=0`,
  };
}
