/**
 * Faults of what the agent makes. A live agent repairs each within a second; here it is dead, as after a crash on a host
 * whose service manager does not start it again.
 */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { type FaultStep, host, kill, restart } from '../step.ts';

const place = 'tunnel' as const;
const on = 'host' as const;

/** The agent that is started again repairs everything. */
const withoutAgent = (damage: (scene: Scene) => readonly FaultStep[]) => ({
  plant: (scene: Scene) => [kill('agent'), ...damage(scene)],
  mend: () => [restart('agent')],
});

/** From another host only the loss is seen, and that no agent answers: what is inside of a host its agent says. */
const named = (...codes: string[]) => ({ here: codes, there: [...codes, 'AGENT_DOWN', 'PACKET_LOST'] });

export const TUNNEL_FAULTS: readonly Fault[] = [
  {
    name: 'tunnel-down',
    place,
    on,
    title: 'the tunnel device is down',
    story:
      'All routes over it disappear. By hand: `ip link show flannel.88`, and `tulle status` says that no agent answers.',
    effect: 'all',
    ...withoutAgent(({ host: { tunnel } }) => [host(`ip link set dev ${tunnel} down`)]),
    finds: named('TUNNEL_DOWN'),
  },
  {
    name: 'tunnel-deleted',
    place,
    on,
    title: 'the tunnel device is gone',
    story: 'A network manager removed what it did not know. By hand: `ip link show type vxlan` is empty.',
    effect: 'all',
    ...withoutAgent(({ host: { tunnel } }) => [host(`ip link delete ${tunnel}`)]),
    finds: named('TUNNEL_MISSING'),
  },
  {
    name: 'tunnel-no-fdb',
    place,
    on,
    title: 'the tunnel does not know where the other host is',
    story:
      "The forwarding entry for the peer's MAC address is gone: the frame has a destination, and the tunnel no address for it. By " +
      'hand: `bridge fdb show dev flannel.88`.',
    effect: 'all',
    ...withoutAgent(({ host: { tunnel }, peer }) => [
      host(`bridge fdb delete ${peer.tunnelMac} dev ${tunnel} dst ${peer.address}`),
    ]),
    finds: named('TUNNEL_FDB'),
  },
  {
    name: 'tunnel-wrong-fdb',
    place,
    on,
    title: 'the tunnel sends to an address that the other host had',
    story:
      'The peer moved while no agent was there to follow. By hand: `bridge fdb show dev flannel.88` beside the addresses of the ' +
      'other host.',
    effect: 'all',
    ...withoutAgent(({ host: { tunnel }, peer, nobody }) => [
      host(`bridge fdb replace ${peer.tunnelMac} dev ${tunnel} dst ${nobody} self permanent`),
    ]),
    finds: named('TUNNEL_FDB'),
  },
  {
    name: 'tunnel-no-neighbor',
    place,
    on,
    title: "the tunnel has no MAC address for the peer's tunnel",
    story:
      'The neighbor entry is gone, and nobody answers ARP in this tunnel. By hand: `ip neigh show dev flannel.88` says FAILED.',
    effect: 'all',
    ...withoutAgent(({ host: { tunnel }, peer }) => [
      host(`ip neigh delete ${peer.tunnelAddress} dev ${tunnel}`),
    ]),
    finds: named('TUNNEL_NEIGHBOR'),
  },
  {
    name: 'tunnel-wrong-neighbor',
    place,
    on,
    title: "the tunnel has a wrong MAC address for the peer's tunnel",
    story:
      'The other host was installed anew, its tunnel has another MAC address, and no agent was there to follow. The other kernel ' +
      'drops what is not for it. By hand: `ip neigh show dev flannel.88` beside `ip link` there.',
    effect: 'all',
    ...withoutAgent(({ host: { tunnel }, peer }) => [
      host(`ip neigh replace ${peer.tunnelAddress} lladdr 02:00:00:00:66:04 dev ${tunnel} nud permanent`),
      host(`bridge fdb append 02:00:00:00:66:04 dev ${tunnel} dst ${peer.address}`),
    ]),
    finds: named('TUNNEL_NEIGHBOR'),
  },
  {
    name: 'tunnel-other-mac',
    place,
    on,
    title: 'the tunnel device has another MAC address than its lease says',
    story:
      'udev gave the device a new address after the agent had died. Others send to the published one. By hand: ' +
      '`ip link show flannel.88` beside `tulle lease list`.',
    effect: 'all',
    ...withoutAgent(({ host: { tunnel } }) => [host(`ip link set dev ${tunnel} address 02:00:00:00:66:05`)]),
    finds: named('TUNNEL_MAC'),
  },
  {
    name: 'route-missing',
    place,
    on,
    title: "the route to the peer's containers is gone",
    story:
      'Somebody flushed the routes while no agent was there. Packets leave by the default route, or not at all. By hand: ' +
      '`ip route get CONTAINER`.',
    effect: 'all',
    ...withoutAgent(({ peer: { subnet } }) => [host(`ip route delete ${subnet}`)]),
    finds: named('ROUTE_MISSING'),
  },
  {
    name: 'vni-mismatch',
    place,
    on,
    title: 'the tunnel has another VNI than the others',
    story:
      'The configuration was changed while the agent was dead, or somebody made the device by hand. Packets arrive, and the kernel ' +
      'has no device for their VNI. By hand: `ip -d link show type vxlan` on both hosts.',
    effect: 'all',
    ...withoutAgent(scene => remade(scene, `${Number(scene.vni) + 1 || 'OTHER_VNI'}`, scene.port)),
    finds: named('VNI_MISMATCH'),
  },
  {
    name: 'port-mismatch',
    place,
    on,
    title: 'the tunnel uses another UDP port than the others',
    story:
      'Linux has 8472 by default, the standard 4789: a device made by hand has the wrong one. The other host answers "port ' +
      'unreachable". By hand: `ip -d link show type vxlan` on both hosts.',
    effect: 'all',
    ...withoutAgent(scene => remade(scene, scene.vni, '8472')),
    finds: named('PORT_MISMATCH', 'TUNNEL_PORT'),
  },
  {
    name: 'firewall-without-agent',
    place,
    on,
    title: 'the firewall was reloaded, and nobody added the overlay again',
    story:
      'A reload flushed all chains and set the policy of FORWARD to drop. A live agent would have repaired its part. By hand: ' +
      '`iptables -S FORWARD`.',
    effect: 'all',
    plant: () => [kill('agent'), host('iptables -F FORWARD'), host('iptables -P FORWARD DROP')],
    mend: () => [host('iptables -P FORWARD ACCEPT'), restart('agent')],
    finds: named('FIREWALL_DROP'),
  },
];

/** The device made anew by hand, with the ways to the peer that it had. */
function remade({ host: at, peer, mtu }: Scene, vni: string, port: string): readonly FaultStep[] {
  const { tunnel } = at;
  return [
    host(`ip link delete ${tunnel}`),
    host(
      `ip link add ${tunnel} address ${at.tunnelMac} mtu ${mtu} type vxlan id ${vni} dstport ${port} local ${at.address} dev ${at.uplink} nolearning`,
    ),
    host(`ip address add ${at.tunnelAddress}/32 dev ${tunnel}`),
    host(`ip link set dev ${tunnel} up`),
    host(`ip route add ${peer.subnet} via ${peer.tunnelAddress} dev ${tunnel} onlink`),
    host(`ip neigh replace ${peer.tunnelAddress} lladdr ${peer.tunnelMac} dev ${tunnel} nud permanent`),
    host(`bridge fdb append ${peer.tunnelMac} dev ${tunnel} dst ${peer.address}`),
  ];
}
