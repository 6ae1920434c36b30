/** Docker's network model: sandbox, endpoint, network, and what a container sees of each driver. */
import type { Scenario } from '../scenario/scenario.ts';
import { CROSS_HOST_STEPS } from './docker-drivers/cross-host.ts';
import { LOCAL_STEPS } from './docker-drivers/local.ts';
import { MODEL_STEPS } from './docker-drivers/model.ts';

const host = (address: string, containers: string[]) => ({
  links: [{ segment: 'underlay', address }],
  forwarding: true,
  agent: true,
  docker: { plugin: true, leased: true },
  containers,
});

export const SCENARIO: Scenario = {
  name: 'docker-drivers',
  title: "Docker's networks: what a container sees of each",
  lesson:
    'Docker knows three things: a sandbox is the network namespace of a container, a network is what several of them ' +
    'share, and an endpoint joins the one to the other. The driver decides what an endpoint is made of.',
  drawing: `
    docker1                                          docker2
    +----------------------------------------------+ +-------------------------+
    | none host lan  bridge  cross  blue   green   | | peer cross2 blue2 green2|
    |  lo   :   eth0  eth0    eth0  eth0    eth0   | | eth0  eth0  eth0   eth0 |
    |       :    |     |       |     |       |     | |  |     |     |     |    |
    |       :    |  docker0   br0 tb-blue tb-green | |  |     |     |     |    |
    |       :    |     :       |     |       |     | |  |     |     |     |    |
    |       :    |     :    vxlan tv-blue tv-green | |  |     |     |     |    |
    |       :    | flannel.88  |     |       |     | |  |     |     |     |    |
    +-------|----|-----|-------|-----|-------|-----+ +--|-----|-----|-----|----+
            +----+-----+-------+-----+-------+----------+-----+-----+-----+
              eth0 192.168.65.3       underlay          eth0 192.168.65.4
`,
  topology: {
    segments: { underlay: { subnet: '192.168.65.0/24' } },
    hosts: { docker1: host('192.168.65.3', []), docker2: host('192.168.65.4', ['peer']) },
    store: { on: 'docker1' },
    // Three digits each: tables are folded alike in every run.
    network: {
      Network: '188.172.0.0/16',
      SubnetMin: '188.172.100.0',
      Backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
    },
  },
  steps: [...LOCAL_STEPS, ...CROSS_HOST_STEPS, ...MODEL_STEPS],
};
