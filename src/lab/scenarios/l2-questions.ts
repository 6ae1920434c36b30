/** What readers of the walkthroughs ask about layer 2, MAC addresses and MTU. */
import type { Scenario } from '../scenario/scenario.ts';
import { ARPING_STEPS } from './l2-questions/arping.ts';
import { LIGHTWEIGHT_STEPS } from './l2-questions/lightweight.ts';
import { MTU_STEPS } from './l2-questions/mtu.ts';
import { SEGMENT_STEPS } from './l2-questions/segment.ts';
import { SUPPRESSION_STEPS } from './l2-questions/suppression.ts';

const host = (address: string) => ({
  links: [{ segment: 'underlay', address }],
  forwarding: true,
  agent: true,
  containers: ['c1'],
});

export const SCENARIO: Scenario = {
  name: 'l2-questions',
  title: 'Questions: arping, VTEP MACs, MTU',
  lesson:
    "Flannel's vxlan joins subnets by routing: it is no common Ethernet, so arping gets no answer across hosts. With " +
    'flooding the same kind of link does become one Ethernet. VTEP MAC addresses are there because VXLAN carries ' +
    'Ethernet frames, and a frame needs a destination. What is too big for the tunnel is answered by the nearest ' +
    'kernel that knows so.',
  drawing: `
    docker1                                    docker2
    +-------------------------+                +-------------------------+
    | c1 eth0   188.172.A.2   |                | c1 eth0   188.172.B.2   |
    |  |                      |                |  |                      |
    | docker0   188.172.A.1   |                | docker0   188.172.B.1   |
    |  : routing              |                |  : routing              |
    | flannel.88  VNI 88 =====|=== VXLAN ======|===== flannel.88         |
    |                         |                |                         |
    | namespace blue          |                | namespace blue          |
    |    10.9.0.1             |                |    10.9.0.2             |
    |  | eth0                 |                |  | eth0                 |
    | br-blue : bridging      |                | br-blue : bridging      |
    | vx-blue    VNI 900 =====|=== VXLAN ======|===== vx-blue            |
    +-----|-------------------+                +-----|-------------------+
          | eth0 192.168.65.3                        | eth0 192.168.65.4
          +------------------ underlay --------------+
`,
  topology: {
    segments: { underlay: { subnet: '192.168.65.0/24' } },
    hosts: { docker1: host('192.168.65.3'), docker2: host('192.168.65.4') },
    store: { on: 'docker1' },
    network: { Network: '188.172.0.0/16', Backend: { Type: 'vxlan', VNI: 88, Port: 4789 } },
  },
  programs: { busybox: 'busybox-static', tcpdump: 'tcpdump' },
  steps: [...ARPING_STEPS, ...SEGMENT_STEPS, ...SUPPRESSION_STEPS, ...LIGHTWEIGHT_STEPS, ...MTU_STEPS],
};
