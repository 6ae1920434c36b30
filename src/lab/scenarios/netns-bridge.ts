/** A bridge, what stops its packets, and the way to the world: what a host of containers is made of. */
import type { Scenario } from '../scenario/scenario.ts';
import { OUTSIDE } from './netns-bridge/addresses.ts';
import { FIREWALL_STEPS } from './netns-bridge/firewall.ts';
import { NETWORK_STEPS } from './netns-bridge/network.ts';
import { WORLD_STEPS } from './netns-bridge/world.ts';

export const SCENARIO: Scenario = {
  name: 'netns-bridge',
  title: 'A bridge, a firewall, and the way to the world',
  lesson:
    'A bridge is a switch inside of the host: it joins namespaces to one network, and the address on it is their ' +
    'gateway. Whether their packets pass is for the firewall of the host to say, even between two ports of the bridge; ' +
    'and the world can only answer an address that it knows.',
  drawing: `
    vm1                                                          outside
    +----------------------------------------------------+       +-----------+
    |  ns1 192.168.2.10          ns2 192.168.2.11        |       |           |
    |   veth1 |                   veth2 |                |       |           |
    |         |                         |                |       |           |
    |  veth1-br                  veth2-br                |       |           |
    |  ------ mybridge 192.168.2.1/24 ------             |       |           |
    |                                                    |       |           |
    |           forwarding, NAT        eth0 192.168.65.3 |-------| eth0      |
    +----------------------------------------------------+       |      .4   |
                                                                 +-----------+
`,
  programs: { iptables: 'iptables', nft: 'nftables', sysctl: 'procps' },
  topology: {
    segments: { lan: { subnet: '192.168.65.0/24' } },
    hosts: {
      vm1: { links: [{ segment: 'lan', address: '192.168.65.3' }] },
      outside: { links: [{ segment: 'lan', address: OUTSIDE }] },
    },
  },
  steps: [...NETWORK_STEPS, ...FIREWALL_STEPS, ...WORLD_STEPS],
};
