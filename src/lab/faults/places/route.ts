/** Routes that lead packets elsewhere. */
import type { Fault } from '../fault.ts';
import { host } from '../step.ts';

const place = 'route' as const;
const on = 'host' as const;
const TUN = { what: 'TUN devices', attempt: ['ip', 'tuntap', 'add', 'tun9', 'mode', 'tun'] };

export const ROUTE_FAULTS: readonly Fault[] = [
  {
    name: 'route-more-specific',
    place,
    on,
    title: "a longer prefix takes half of the peer's containers",
    story:
      "A static route of the administrator for 'that server' is more specific than the overlay's. By hand: `ip route get " +
      'CONTAINER` names eth0 in place of flannel.88.',
    effect: 'all',
    plant: ({ peer: { halves }, host: { uplink } }) => [host(`ip route add ${halves[0]} dev ${uplink}`)],
    mend: ({ peer: { halves }, host: { uplink } }) => [host(`ip route delete ${halves[0]} dev ${uplink}`)],
    finds: { here: ['ROUTE_CAPTURES'], there: ['ROUTE_CAPTURES'] },
  },
  {
    name: 'route-vpn',
    place,
    on,
    title: 'a VPN of the host takes the containers of a peer',
    story:
      'The VPN was given routes that contain the network. Everything else works. By hand: `ip route get CONTAINER` names tun0.',
    effect: 'all',
    kernel: TUN,
    plant: ({ peer: { halves } }) => [
      host('ip tuntap add tun0 mode tun'),
      host('ip link set dev tun0 up'),
      host(`ip route add ${halves[0]} dev tun0`),
      host(`ip route add ${halves[1]} dev tun0`),
    ],
    mend: () => [host('ip link delete tun0')],
    finds: { here: ['ROUTE_CAPTURES'], there: ['ROUTE_CAPTURES'] },
  },
  {
    name: 'route-blackhole',
    place,
    on,
    title: "a blackhole route takes the peer's containers",
    story:
      'Left over from fighting an attack. By hand: `ip route get CONTAINER` says Invalid argument or blackhole.',
    effect: 'all',
    plant: ({ peer: { container } }) => [host(`ip route add blackhole ${container.ip}/32`)],
    mend: ({ peer: { container } }) => [host(`ip route delete blackhole ${container.ip}/32`)],
    finds: { here: ['ROUTE_BLACKHOLE', 'ROUTE_CAPTURES'], there: ['ROUTE_BLACKHOLE', 'ROUTE_CAPTURES'] },
  },
  {
    name: 'old-bridge',
    place,
    on,
    title: 'a second bridge has half of the subnet',
    story:
      'A bridge of a former Docker network overlaps the lease: packets for the containers go to the bridge on which they are not. ' +
      'By hand: `ip route get CONTAINER` on its own host names the other bridge.',
    effect: 'all',
    plant: ({ host: { halves } }) => [
      host('ip link add br-old type bridge'),
      host('ip link set dev br-old up'),
      host(`ip route add ${halves[0]} dev br-old`),
    ],
    mend: () => [host('ip link delete br-old')],
    finds: { here: ['ROUTE_CAPTURES'], there: ['ROUTE_CAPTURES'] },
  },
  {
    name: 'container-address-on-host',
    place,
    on: 'container',
    title: 'the host itself has the address of a container',
    story:
      'Somebody gave it to `lo` for a test. Packets for the container end in the host, which answers ping for it: only services are ' +
      'missed, and the container itself. By hand: `ip route get CONTAINER` says local.',
    effect: 'all',
    plant: ({ container: { ip } }) => [
      host(`ip address add ${ip}/32 dev lo`),
      host('sysctl -q net.ipv4.icmp_echo_ignore_all=1'),
    ],
    mend: ({ container: { ip } }) => [
      host(`ip address delete ${ip}/32 dev lo`),
      host('sysctl -q net.ipv4.icmp_echo_ignore_all=0'),
    ],
    finds: { here: ['DUPLICATE_ADDRESS', 'ROUTE_CAPTURES'], there: ['DUPLICATE_ADDRESS', 'ROUTE_CAPTURES'] },
  },
  {
    name: 'underlay-route-nobody',
    place,
    on,
    title: 'the route to the other host leads to a gateway that is gone',
    story:
      'A host route via a former router. By hand: `ip route get PEER_ADDRESS` has a `via`, `ip neigh` says FAILED.',
    effect: 'all',
    plant: ({ peer: { address }, nobody }) => [host(`ip route add ${address}/32 via ${nobody}`)],
    mend: ({ peer: { address }, nobody }) => [host(`ip route delete ${address}/32 via ${nobody}`)],
    finds: { here: ['UNDERLAY_ROUTE'], there: ['UNDERLAY_ROUTE'] },
  },
  {
    name: 'underlay-route-loop',
    place,
    on,
    title: 'the route to the other host leads into the tunnel',
    story:
      'The outer packet of the tunnel is to go through the tunnel. By hand: `ip route get PEER_ADDRESS` names flannel.88.',
    effect: 'all',
    plant: ({ peer: { address, tunnelAddress }, host: { tunnel } }) => [
      host(`ip route add ${address}/32 via ${tunnelAddress} dev ${tunnel} onlink`),
      // The device of the tunnel asks for a route over the uplink alone; who answers does not.
      host(`ip route flush cache`),
    ],
    mend: ({ peer: { address, tunnelAddress }, host: { tunnel } }) => [
      host(`ip route delete ${address}/32 via ${tunnelAddress} dev ${tunnel}`),
    ],
    finds: { here: ['UNDERLAY_ROUTE'], there: ['UNDERLAY_ROUTE'] },
  },
  {
    name: 'underlay-route-blackhole',
    place,
    on,
    title: 'the route to the other host is a blackhole',
    story: 'An automatic block of an address that was the other host. By hand: `ip route get PEER_ADDRESS`.',
    effect: 'all',
    plant: ({ peer: { address } }) => [host(`ip route add blackhole ${address}/32`)],
    mend: ({ peer: { address } }) => [host(`ip route delete blackhole ${address}/32`)],
    finds: { here: ['UNDERLAY_ROUTE', 'ROUTE_BLACKHOLE'], there: ['UNDERLAY_ROUTE', 'ROUTE_BLACKHOLE'] },
  },
];
