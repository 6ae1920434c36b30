/** One subnet across two Docker hosts (scenario S6). */
import type { Scenario } from '../scenario/scenario.ts';
import { BY_HAND_STEPS } from './docker-l2/by-hand.ts';
import { LUCK_STEPS } from './docker-l2/luck.ts';
import { PREPARATION_STEPS } from './docker-l2/preparation.ts';

const host = (address: string) => ({ links: [{ segment: 'underlay', address }], docker: true });

export const SCENARIO: Scenario = {
  name: 'docker-l2',
  title: 'One subnet across two Docker hosts',
  lesson:
    "A Docker bridge network ends at its host. A vxlan link as one more port of the bridge makes the two hosts' bridges one " +
    'Ethernet. Typed by hand it leaves three things to luck: the gateway is there twice, addresses are given out twice, and ' +
    'big packets vanish.',
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
    segments: { underlay: { subnet: '172.31.0.0/24' } },
    hosts: { vm1: host('172.31.0.106'), vm2: host('172.31.0.107') },
  },
  programs: { busybox: 'busybox-static' },
  steps: [...PREPARATION_STEPS, ...BY_HAND_STEPS, ...LUCK_STEPS],
};
