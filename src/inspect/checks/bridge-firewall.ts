/**
 * Rules on the host that drop frames between containers of one bridge: of the family `bridge`, and those of iptables, which
 * bridged frames meet where br_netfilter is on. What goes to other hosts and comes from there is another check's.
 */
import type { Prefix } from '../../base/prefix.ts';
import type { Packet } from '../../firewall/packets/packet.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Members, OverlayBridge } from '../host/members.ts';
import { dropIn, seesFamily } from './chain-drop.ts';
import { type Cause, commandText } from './check.ts';
import { type BaseChains, baseChainsOf } from './firewall-chains.ts';

const CALL = {
  ipv4: 'net/bridge/bridge-nf-call-iptables',
  ipv6: 'net/bridge/bridge-nf-call-ip6tables',
} as const;

export async function checkBridgeFirewall(host: HostReader): Promise<Cause[]> {
  const [members, overlay] = await Promise.all([host.members(), host.overlay()]);
  if (overlay === undefined || members.members.length < 2) return [];
  const chains = (await baseChainsOf(host)).filter(({ type, isOurs }) => type !== 'nat' && !isOurs);
  const called = host.sysctls(Object.values(CALL));
  return await judgeBridgeFirewall(host, { ...members, subnets: overlay.subnets, chains, called });
}

export interface BridgeFirewallFacts extends Members {
  /** Of this host. */
  readonly subnets: readonly Prefix[];
  readonly chains: readonly BaseChains[];
  /** Values of `bridge-nf-call-*`; empty where there is no br_netfilter. */
  readonly called: ReadonlyMap<string, string>;
}

/** Hooks that a frame from port to port passes. */
const HOOKS = ['prerouting', 'forward', 'postrouting'];

async function judgeBridgeFirewall(
  host: HostReader,
  { bridges, members, subnets, chains, called }: BridgeFirewallFacts,
): Promise<Cause[]> {
  const causes = bridges.flatMap(bridge => {
    const ports = members
      .filter(({ outer }) => outer.master === bridge.link.index)
      .map(({ outer }) => outer.name);
    if (ports.length < 2) return [];
    return subnets.flatMap(subnet => {
      const isCalled = called.get(CALL[subnet.family]) === '1';
      return chains
        .filter(chain => seesFamily(chain, subnet.family) && HOOKS.includes(chain.hook))
        .filter(({ family }) => family === 'bridge' || (isCalled && ['ip', 'ip6', 'inet'].includes(family)))
        .map(chain => judgeChain(host, chain, packetOf(chain, bridge, ports, subnet), bridge));
    });
  });
  return (await Promise.all(causes)).filter(cause => cause !== undefined);
}

/** iptables sees the bridge as the link of both ways (net/bridge/br_netfilter_hooks.c), nftables of the family the ports. */
function packetOf(
  { family, hook }: BaseChains,
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

async function judgeChain(
  host: HostReader,
  chain: BaseChains,
  packet: Packet,
  { link }: OverlayBridge,
): Promise<Cause | undefined> {
  const cause = await dropIn(chain, packet, host);
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
      : `accept packets from ${link.name} to ${link.name} there before they are dropped (${commandText(chain.look)} shows the rules); or take bridged packets away from iptables: sysctl -w net.bridge.bridge-nf-call-iptables=0`,
  };
}
