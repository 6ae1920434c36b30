/** One subnet across two Docker hosts. */
import type { Scenario } from '../scenario/scenario.ts';
import { BY_HAND_STEPS } from './docker-l2/by-hand.ts';
import { LUCK_STEPS } from './docker-l2/luck.ts';
import { ONE_NETWORK_STEPS } from './docker-l2/one-network.ts';
import { PREPARATION_STEPS } from './docker-l2/preparation.ts';
import { TUNNEL_STEPS } from './docker-l2/tunnel.ts';

const host = (address: string, second: string) => ({
  links: [
    { segment: 'underlay', address },
    { segment: 'second', address: second },
  ],
  forwarding: true,
  agent: true,
  docker: true,
});

export const SCENARIO: Scenario = {
  name: 'docker-l2',
  title: 'One subnet across two Docker hosts',
  lesson:
    'A Docker bridge network ends at its host. A vxlan link as one more port makes the bridges of two hosts one Ethernet. Typed ' +
    'by hand it leaves three things to luck: large packets vanish, the gateway is there twice, and addresses are given out ' +
    'twice. A tunnel of Tulle takes care of the first, a network of Tulle of all three.',
  drawing: `
    vm1                                        vm2
    +-------------------------+                +-------------------------+
    | container c1            |                | container c2            |
    |   172.18.0.2            |                |   172.18.0.3            |
    |  | eth0                 |                |  | eth0                 |
    | br-<id> of mynetwork    |                | br-<id> of mynetwork    |
    |  |  172.18.0.1          |                |  |  172.18.0.1          |
    | vxlan_docker VNI 200 ===|=== VXLAN ======|== vxlan_docker          |
    +-----|-------------------+                +-----|-------------------+
          | eth0 172.31.0.106                        | eth0 172.31.0.107
          +------------------ underlay --------------+
`,
  topology: {
    segments: { underlay: { subnet: '172.31.0.0/24' }, second: { subnet: '10.0.3.0/24' } },
    hosts: { vm1: host('172.31.0.106', '10.0.3.121'), vm2: host('172.31.0.107', '10.0.3.122') },
    store: { on: 'vm1' },
    network: { Network: '188.172.0.0/16', Backend: { Type: 'vxlan', VNI: 88, Port: 4789 } },
  },
  programs: { busybox: 'busybox-static' },
  steps: [...PREPARATION_STEPS, ...BY_HAND_STEPS, ...LUCK_STEPS, ...TUNNEL_STEPS, ...ONE_NETWORK_STEPS],
};
