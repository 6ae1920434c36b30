/**
 * The pictures of the guide, docs/guide/learn/pictures: the topology of each scenario with what the experiment makes in
 * it, and the layers of a frame that a page shows as text.
 */
import { join } from 'node:path';
import { loadScenario, SCENARIO_NAMES } from '../../src/lab/scenario/catalogue.ts';
import { type LabPictureOptions, labPicture } from '../picture/lab-picture.ts';
import { type BoxPicture, topologyPicture } from '../picture/topology-picture.ts';
import { packetsOf } from './packets.ts';

/** Below the root of the repository. */
const DIRECTORY = 'docs/guide/learn/pictures';

type Drawing = Omit<LabPictureOptions, 'title'>;

const box = (
  kind: BoxPicture['kind'],
  name: string,
  to?: string | readonly string[],
  ...lines: readonly string[]
): BoxPicture => ({
  kind,
  name,
  lines,
  ...(to === undefined ? {} : { to }),
});

/** A container behind Docker's bridge and flannel's device. */
const flannelBoxes = (net: string, ...programs: readonly BoxPicture[]): BoxPicture[] => [
  box('container', 'c1', 'docker0', `188.172.${net}.2`),
  box('bridge', 'docker0', 'flannel.88', `188.172.${net}.1/24`),
  box('tunnel', 'flannel.88', 'eth0', `188.172.${net}.0/32, MTU 1450`),
  ...programs,
];

const DRAWINGS: Readonly<Record<string, Drawing>> = {
  'netns-veth': {
    made: {
      vm1: {
        boxes: [
          box('container', 'ns1', undefined, '192.168.1.1/24'),
          box('container', 'ns2', undefined, '192.168.1.2/24'),
        ],
      },
    },
    lines: [{ kind: 'cable', name: 'myveth1 - myveth2', ends: ['vm1/ns1', 'vm1/ns2'] }],
  },
  'netns-bridge': {
    made: {
      vm1: {
        boxes: [
          box('container', 'ns1', 'mybridge', '192.168.2.10/24'),
          box('container', 'ns2', 'mybridge', '192.168.2.11/24'),
          box('bridge', 'mybridge', 'eth0', '192.168.2.1/24'),
        ],
      },
    },
  },
  'docker-bridge': {
    made: {
      docker1: {
        boxes: [
          box('container', 'web', 'docker0', '172.17.0.2, port 80'),
          box('bridge', 'docker0', 'eth0', '172.17.0.1/16', 'port 10080 to 172.17.0.2:80'),
        ],
      },
    },
  },
  'vni-isolation': {
    made: Object.fromEntries(
      ['vm1', 'vm2'].map((host, index) => [
        host,
        {
          boxes: ['red', 'blue'].flatMap(tenant => [
            box('container', tenant, `br-${tenant}`, `10.0.0.${index + 1}/24`),
            box('bridge', `br-${tenant}`, `vx-${tenant}`),
            box('tunnel', `vx-${tenant}`, 'eth0'),
          ]),
        },
      ]),
    ),
    lines: [
      { kind: 'tunnel', name: 'red: VNI 5000', ends: ['vm1/vx-red', 'vm2/vx-red'] },
      { kind: 'tunnel', name: 'blue: VNI 16777215', ends: ['vm1/vx-blue', 'vm2/vx-blue'] },
    ],
  },
  'p2p-vxlan': {
    made: {
      vm1: { boxes: [box('tunnel', 'vxlan1', 'eth0', '10.0.0.106/24, MTU 1450')] },
      vm2: { boxes: [box('tunnel', 'vxlan1', 'eth0', '10.0.0.107/24, MTU 1450')] },
    },
    lines: [{ kind: 'tunnel', name: 'VNI 1', lines: ['UDP 4789'], ends: ['vm1/vxlan1', 'vm2/vxlan1'] }],
  },
  'docker-l2': {
    made: Object.fromEntries(
      [
        ['vm1', 'c1', '172.18.0.2'],
        ['vm2', 'c2', '172.18.0.3'],
      ].map(([host = '', container = '', ip = '']) => [
        host,
        {
          boxes: [
            box('container', container, 'br-<id>', ip),
            box('bridge', 'br-<id>', 'vxlan_docker', 'mynetwork 172.18.0.0/16'),
            box('tunnel', 'vxlan_docker', 'eth0'),
          ],
        },
      ]),
    ),
    lines: [
      {
        kind: 'tunnel',
        name: 'VNI 200',
        lines: ['UDP 4789'],
        ends: ['vm1/vxlan_docker', 'vm2/vxlan_docker'],
      },
    ],
    without: ['second'],
  },
  flannel: {
    made: {
      docker1: {
        boxes: flannelBoxes(
          '50',
          box('program', 'tulle agent'),
          box('program', 'etcd', undefined, 'port 2379'),
        ),
      },
      docker2: { boxes: flannelBoxes('81', box('program', 'tulle agent')) },
    },
    lines: [
      {
        kind: 'tunnel',
        name: 'VNI 88',
        lines: ['UDP 4789'],
        ends: ['docker1/flannel.88', 'docker2/flannel.88'],
      },
    ],
  },
  backends: {
    made: Object.fromEntries(
      [
        ['docker1', '50'],
        ['docker2', '81'],
      ].map(([host = '', net = '']) => [
        host,
        {
          boxes: [
            box('container', 'c1', 'docker0', `188.172.${net}.2`),
            box('bridge', 'docker0', 'udp / vxlan / host-gw', `188.172.${net}.1/24`),
            box(
              'tunnel',
              'udp / vxlan / host-gw',
              'eth0',
              'flannel0 and a process',
              'flannel.88',
              'no device',
            ),
          ],
        },
      ]),
    ),
    lines: [
      {
        kind: 'tunnel',
        name: '28 / 50 / 0 bytes more',
        ends: ['docker1/udp / vxlan / host-gw', 'docker2/udp / vxlan / host-gw'],
      },
    ],
  },
  'l2-questions': {
    made: Object.fromEntries(
      ['docker1', 'docker2'].map((host, index) => [
        host,
        {
          boxes: [
            box('container', 'c1', 'docker0'),
            box('bridge', 'docker0', 'flannel.88'),
            box('tunnel', 'flannel.88', 'eth0'),
            box('container', 'blue', 'br-blue', `10.9.0.${index + 1}/24`),
            box('bridge', 'br-blue', 'vx-blue'),
            box('tunnel', 'vx-blue', 'eth0'),
          ],
        },
      ]),
    ),
    lines: [
      { kind: 'tunnel', name: 'routed: VNI 88', ends: ['docker1/flannel.88', 'docker2/flannel.88'] },
      { kind: 'tunnel', name: 'bridged: VNI 900', ends: ['docker1/vx-blue', 'docker2/vx-blue'] },
    ],
  },
  'docker-drivers': {
    made: {
      docker1: {
        boxes: [
          box('container', 'none', undefined, 'lo'),
          box('container', 'host', 'eth0', "the host's own"),
          box('container', 'lan', 'eth0', 'macvlan'),
          box('container', 'bridge', 'docker0'),
          box('bridge', 'docker0', 'flannel.88'),
          box('tunnel', 'flannel.88', 'eth0'),
          box('container', 'cross', 'overlay'),
          box('bridge', 'overlay', 'vxlan'),
          box('tunnel', 'vxlan', 'eth0'),
          box('container', 'green', 'tb-green'),
          box('bridge', 'tb-green', 'tv-green'),
          box('tunnel', 'tv-green', 'eth0'),
        ],
      },
      docker2: {
        boxes: [
          box('container', 'peer', 'docker0'),
          box('bridge', 'docker0', 'flannel.88'),
          box('tunnel', 'flannel.88', 'eth0'),
          box('container', 'cross', 'overlay'),
          box('bridge', 'overlay', 'vxlan'),
          box('tunnel', 'vxlan', 'eth0'),
          box('container', 'green2', 'tb-green'),
          box('bridge', 'tb-green', 'tv-green'),
          box('tunnel', 'tv-green', 'eth0'),
        ],
      },
    },
    lines: [
      { kind: 'tunnel', name: 'bridge', ends: ['docker1/flannel.88', 'docker2/flannel.88'] },
      { kind: 'tunnel', name: 'cross', ends: ['docker1/vxlan', 'docker2/vxlan'] },
      { kind: 'tunnel', name: 'green', ends: ['docker1/tv-green', 'docker2/tv-green'] },
    ],
  },
};

/** Path below the root of the repository -> text, of every picture of the scenarios and pages that there are. */
export async function pictures(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of SCENARIO_NAMES) {
    const { title, topology } = await loadScenario(name);
    const drawing = DRAWINGS[name];
    if (drawing !== undefined)
      found.set(join(DIRECTORY, `${name}.svg`), topologyPicture(labPicture(topology, { title, ...drawing })));
    for (const [path, text] of packetsOf(name, DIRECTORY)) found.set(path, text);
  }
  return found;
}
