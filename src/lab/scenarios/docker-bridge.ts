/** What Docker's bridge driver does with the packets of a published port, hook by hook. */
import type { Scenario } from '../scenario/scenario.ts';
import { CONTAINER_STEPS } from './docker-bridge/container.ts';
import { TRACE_STEPS } from './docker-bridge/traces.ts';

export const SCENARIO: Scenario = {
  name: 'docker-bridge',
  title: 'A published port, packet by packet',
  lesson:
    'A container has an address that only its host knows. Docker publishes a port of it with rules of iptables: one ' +
    'changes the destination of what comes in, others let it be forwarded. Which rules a packet meets can be watched, ' +
    'one by one.',
  drawing: `
    client                 docker1
    +-----------+          +----------------------------------------------+
    |           |          |  port 10080                                  |
    |  eth0     |----------| eth0           docker0          container    |
    |  .65.4    |          | 192.168.65.3   172.17.0.1/16    web          |
    +-----------+          |     |              |  veth ---- 172.17.0.2   |
                           |     +-- iptables --+            port 80      |
                           +----------------------------------------------+

    in:   nat PREROUTING -> route -> filter FORWARD -> nat POSTROUTING -> out
    own:  nat OUTPUT -> route -> filter OUTPUT -> nat POSTROUTING -> out
`,
  topology: {
    segments: { lan: { subnet: '192.168.65.0/24' } },
    hosts: {
      docker1: { links: [{ segment: 'lan', address: '192.168.65.3' }], docker: true },
      client: { links: [{ segment: 'lan', address: '192.168.65.4' }] },
    },
  },
  programs: { busybox: 'busybox-static', iptables: 'iptables', nft: 'nftables', ss: 'iproute2' },
  steps: [...CONTAINER_STEPS, ...TRACE_STEPS],
};
