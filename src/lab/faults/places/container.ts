/** Faults inside a container. */
import type { Fault } from '../fault.ts';
import { container, host, sibling, sysctl } from '../step.ts';
import { addRule, dropTable } from './rules.ts';

const place = 'container' as const;
const on = 'container' as const;

export const CONTAINER_FAULTS: readonly Fault[] = [
  {
    name: 'container-link-down',
    place,
    on,
    title: 'the link of a container is down',
    story:
      'Somebody ran `ip link set eth0 down` in the container, or a script of its image did. Its routes are gone with it. ' +
      'By hand: `ip link` in the container shows DOWN, and the port at the bridge has no carrier.',
    effect: 'all',
    plant: () => [container('ip link set dev eth0 down')],
    mend: ({ host: { gateway } }) => [
      container('ip link set dev eth0 up'),
      container(`ip route replace default via ${gateway}`),
    ],
    finds: { here: ['CONTAINER_LINK_DOWN'], there: ['CONTAINER_LINK_DOWN'] },
  },
  {
    name: 'container-no-address',
    place,
    on,
    title: 'a container has lost its address',
    story:
      'A DHCP client in the container, or a hand, removed the address. The host still asks for it with ARP, and nobody answers. ' +
      'By hand: `ip address` in the container, and `ip neigh` on the host says FAILED.',
    effect: 'all',
    plant: ({ host: at, container: { ip } }) => [
      container('ip address flush dev eth0'),
      host(`ip neigh flush dev ${at.bridge} to ${ip}`),
    ],
    mend: ({ host: { gateway, subnetLength }, container: { ip } }) => [
      container(`ip address replace ${ip}/${subnetLength} dev eth0`),
      container(`ip route replace default via ${gateway}`),
    ],
    finds: { here: ['CONTAINER_NO_ADDRESS'], there: ['CONTAINER_NO_ADDRESS'] },
  },
  {
    name: 'container-no-default-route',
    place,
    on,
    title: 'a container has no default route',
    story:
      'Packets arrive in the container and every answer ends there: Network is unreachable. Its own subnet still works, ' +
      'which misleads. By hand: `ip route` in the container.',
    effect: 'all',
    plant: () => [container('ip route delete default')],
    mend: ({ host: { gateway } }) => [container(`ip route replace default via ${gateway}`)],
    finds: { here: ['CONTAINER_NO_DEFAULT_ROUTE'], there: ['CONTAINER_NO_DEFAULT_ROUTE'] },
  },
  {
    name: 'container-wrong-gateway',
    place,
    on,
    title: 'the default route of a container leads to nobody',
    story:
      'The container was made by hand, and the gateway is not the address of the bridge. It asks with ARP for a gateway that ' +
      'is not there. By hand: `ip route` in the container beside `ip address show docker0` on the host.',
    effect: 'all',
    plant: ({ host: { last } }) => [container(`ip route replace default via ${last}`)],
    mend: ({ host: { gateway } }) => [container(`ip route replace default via ${gateway}`)],
    finds: { here: ['CONTAINER_WRONG_GATEWAY'], there: ['CONTAINER_WRONG_GATEWAY'] },
  },
  {
    name: 'container-netmask-wide',
    place,
    on,
    title: 'a container takes all containers for its neighbors',
    story:
      "Its address has the length of the whole network, so that it asks its own bridge with ARP for another host's container. " +
      'Packets in arrive, answers end as incomplete neighbors. By hand: `ip route get PEER` in the container says no `via`.',
    effect: 'all',
    plant: ({ host: { gateway, subnetLength }, container: { ip }, network }) => [
      container(`ip address add ${ip}/${network.split('/')[1] ?? '16'} dev eth0`),
      container(`ip address delete ${ip}/${subnetLength} dev eth0`),
      container(`ip route replace default via ${gateway}`),
    ],
    mend: ({ host: { gateway, subnetLength }, container: { ip } }) => [
      container('ip address flush dev eth0'),
      container(`ip address add ${ip}/${subnetLength} dev eth0`),
      container(`ip route replace default via ${gateway}`),
    ],
    finds: { here: ['CONTAINER_WRONG_NETMASK'], there: ['CONTAINER_WRONG_NETMASK'] },
  },
  {
    name: 'container-unreachable-route',
    place,
    on,
    title: "a route in a container refuses the peer's subnet",
    story:
      'A VPN client in the container left an unreachable route behind (its kill switch). By hand: `ip route get PEER` in the ' +
      'container says unreachable.',
    effect: 'all',
    plant: ({ peer }) => [container(`ip route add unreachable ${peer.subnet}`)],
    mend: ({ peer }) => [container(`ip route delete unreachable ${peer.subnet}`)],
    finds: { here: ['CONTAINER_ROUTE'], there: ['CONTAINER_ROUTE'] },
  },
  {
    name: 'container-vpn',
    place,
    on,
    title: 'a VPN in a container takes the network',
    story:
      'The container has a tunnel of its own with a route for a range that contains the network of the containers: ' +
      'answers leave through a device whose other end nobody has. By hand: `ip route` in the container.',
    effect: 'all',
    kernel: { what: 'TUN devices', attempt: ['ip', 'tuntap', 'add', 'tun9', 'mode', 'tun'] },
    plant: ({ network }) => [
      container('ip tuntap add tun9 mode tun'),
      container('ip link set dev tun9 up'),
      container(`ip route add ${network} dev tun9`),
    ],
    mend: () => [container('ip link delete tun9')],
    finds: { here: ['CONTAINER_ROUTE'], there: ['CONTAINER_ROUTE'] },
  },
  {
    name: 'container-gateway-mac',
    place,
    on,
    title: 'a container has a wrong MAC address for its gateway',
    story:
      'A permanent neighbor entry, made when the bridge had another MAC address. The bridge floods the frames, and nobody takes ' +
      'them. By hand: `ip neigh` in the container beside `ip link show docker0` on the host.',
    effect: 'all',
    plant: ({ host: { gateway } }) => [
      container(`ip neigh replace ${gateway} lladdr 02:00:00:00:66:01 dev eth0 nud permanent`),
    ],
    mend: ({ host: { gateway } }) => [container(`ip neigh delete ${gateway} dev eth0`)],
    finds: { here: ['CONTAINER_GATEWAY_MAC'], there: ['CONTAINER_GATEWAY_MAC'] },
  },
  {
    name: 'container-iptables-output',
    place,
    on,
    title: "a container's own iptables drops what it sends",
    story:
      'The image has a firewall script that allows only what its author used. Packets arrive, and no answer leaves. ' +
      'By hand: `iptables -L -v` in the container, where few look.',
    effect: 'all',
    plant: ({ network }) => [container(`iptables -I OUTPUT -d ${network} -j DROP`)],
    mend: ({ network }) => [container(`iptables -D OUTPUT -d ${network} -j DROP`)],
    finds: { here: ['CONTAINER_FIREWALL'], there: ['CONTAINER_FIREWALL'] },
  },
  {
    name: 'container-nft-input',
    place,
    on,
    title: "a container's own nftables drops what arrives",
    story:
      'A hardened image that accepts its own subnet only. By hand: `nft list ruleset` in the network namespace of the container; ' +
      'the counter of the rule grows.',
    effect: 'all',
    plant: ({ peer: { subnet } }) => [
      addRule(
        'container',
        { family: 'inet', table: 'hardened', hook: 'input priority filter' },
        `ip saddr ${subnet} counter drop`,
      ),
    ],
    mend: () => [dropTable('container', { family: 'inet', table: 'hardened' })],
    finds: { here: ['CONTAINER_FIREWALL'], there: ['CONTAINER_FIREWALL'] },
  },
  {
    name: 'container-policy-rule',
    place,
    on,
    title: 'a policy rule in a container discards its answers',
    story:
      'Rules for a second interface that the container no longer has: what comes from its address is looked up in a table that ' +
      'holds only a blackhole. By hand: `ip rule`, `ip route show table 77` in the container.',
    effect: 'all',
    plant: ({ container: { ip } }) => [
      container('ip route add blackhole default table 77'),
      container(`ip rule add from ${ip} lookup 77 pref 100`),
    ],
    mend: ({ container: { ip } }) => [
      container(`ip rule delete from ${ip} lookup 77 pref 100`),
      container('ip route flush table 77'),
    ],
    finds: { here: ['CONTAINER_RULE'], there: ['CONTAINER_RULE'] },
  },
  {
    name: 'container-ignores-echo',
    place,
    on,
    title: 'a container answers no ping',
    story:
      'Hardening sets icmp_echo_ignore_all. Everything works except ping, and everybody who pings believes that the network is ' +
      'broken. By hand: TCP connects; `sysctl net.ipv4.icmp_echo_ignore_all` in the container.',
    effect: 'all',
    plant: () => [sysctl('container', 'net/ipv4/icmp_echo_ignore_all', '1')],
    mend: () => [],
    finds: { here: ['CONTAINER_IGNORES_ECHO'], there: ['CONTAINER_IGNORES_ECHO'] },
  },
  {
    name: 'container-foreign-address',
    place,
    on,
    title: "a container has an address of another host's subnet",
    story:
      'It was moved from another host with its address, or the host got another lease and the container was not made anew. ' +
      "Answers to it go to the other host. By hand: compare its address with the host's /run/flannel/subnet.env.",
    effect: 'all',
    plant: ({ host: { gateway, bridge }, peer, container: { ip } }) => [
      container('ip address flush dev eth0'),
      container(`ip address add ${peer.last}/${peer.subnetLength} dev eth0`),
      container(`ip route replace default via ${gateway} dev eth0 onlink`),
      host(`ip neigh flush dev ${bridge} to ${ip}`),
    ],
    mend: ({ host: { gateway, subnetLength }, container: { ip } }) => [
      container('ip address flush dev eth0'),
      container(`ip address add ${ip}/${subnetLength} dev eth0`),
      container(`ip route replace default via ${gateway}`),
    ],
    finds: { here: ['CONTAINER_FOREIGN_ADDRESS'], there: ['CONTAINER_FOREIGN_ADDRESS'] },
  },
  {
    name: 'container-address-taken',
    place,
    on,
    sibling: true,
    title: 'two containers of a host have one address',
    story:
      'The second container was given the address of the first by hand. Who answered the last ARP request gets the packets. ' +
      'By hand: `arping` from the host shows two MAC addresses.',
    effect: 'siblings',
    plant: ({ host: { bridge, subnetLength, gateway }, container: { ip, mac } }) => [
      // Who answered last would be chance: the host keeps to the first.
      host(`ip neigh replace ${ip} lladdr ${mac} dev ${bridge} nud permanent`),
      sibling('ip address flush dev eth0'),
      sibling(`ip address add ${ip}/${subnetLength} dev eth0`),
      sibling(`ip route replace default via ${gateway}`),
    ],
    mend: ({ host: { bridge, subnetLength, gateway }, container: { ip }, sibling: other }) => [
      sibling('ip address flush dev eth0'),
      sibling(`ip address add ${other.ip}/${subnetLength} dev eth0`),
      sibling(`ip route replace default via ${gateway}`),
      host(`ip neigh delete ${ip} dev ${bridge}`),
    ],
    finds: { here: ['DUPLICATE_ADDRESS'], there: ['DUPLICATE_ADDRESS'] },
  },
  {
    name: 'container-no-arp',
    place,
    on,
    title: 'a container answers no ARP request',
    story:
      'Its link was set to NOARP, or an image for load balancing sets arp_ignore. While the host remembers its MAC address all is ' +
      'well; a minute later nobody finds it. By hand: `ip link` in the container shows NOARP, `ip neigh` on the host FAILED.',
    effect: 'all',
    plant: ({ host: { bridge }, container: { ip } }) => [
      container('ip link set dev eth0 arp off'),
      host(`ip neigh flush dev ${bridge} to ${ip}`),
    ],
    mend: () => [container('ip link set dev eth0 arp on')],
    finds: { here: ['ARP_OFF', 'CONTAINER_ARP_OFF'], there: ['ARP_OFF', 'CONTAINER_ARP_OFF'] },
  },
];
