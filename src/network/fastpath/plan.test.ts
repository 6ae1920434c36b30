import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import type { Link } from '../../netlink/route/objects.ts';
import {
  addressFixture,
  bridgeFixture,
  linkFixture,
  vethFixture,
} from '../../testing/network/link-fixtures.ts';
import type { LinkLook } from './link-look.ts';
import { OBSTACLES } from './obstacle.ts';
import { type CarriedNetwork, type FastPathHost, planFastPath } from './plan.ts';

const overlay: CarriedNetwork = {
  name: 'overlay',
  uplink: { index: 2 },
  addresses: [],
  tunnels: [{ link: 'flannel.88', port: 8472, vni: 88 }],
  block: Prefix.parse('10.5.34.0/24'),
};
const blue: CarriedNetwork = {
  name: 'blue',
  uplink: { index: 2 },
  addresses: [],
  tunnels: [{ link: 'tv-blue', port: 4789, vni: 200 }],
  bridge: 'tb-blue',
};

const LINKS = [
  linkFixture(2, 'eth0'),
  linkFixture(3, 'flannel.88'),
  bridgeFixture(4, 'docker0'),
  bridgeFixture(5, 'br-other'),
  bridgeFixture(6, 'tb-blue'),
  linkFixture(7, 'tv-blue', { master: 6 }),
  vethFixture(10, 'veth-a', 4),
  vethFixture(11, 'veth-b', 5),
  vethFixture(12, 'veth-blue', 6),
  vethFixture(13, 'veth-routed'),
];

const host = (
  changes: { links?: readonly Link[]; at?: Record<number, Partial<LinkLook>> } = {},
): FastPathHost => ({
  links: changes.links ?? LINKS,
  addresses: [
    addressFixture(2, '192.168.65.3/24'),
    addressFixture(4, '10.5.34.1/24'),
    addressFixture(5, '172.18.0.1/24'),
  ],
  routes: new Map([[13, [Prefix.parse('10.5.34.9/32')]]]),
  at: new Map(
    Object.entries(changes.at ?? {}).map(([index, at]) => [
      Number(index),
      { ingress: [], egress: [], ...at },
    ]),
  ),
});

const programsOf = (...args: Parameters<typeof planFastPath>) =>
  planFastPath(...args).programs.map(({ link: at, point, program }) => `${at} ${point} ${program}`);

const UPLINK = ['eth0 ingress receive', 'eth0 egress sent'];

test('links of containers of the overlay, on a bridge of it or behind a route into it, and the uplink', () => {
  const ends = ['veth-a', 'veth-routed'].flatMap(name => [
    `${name} ingress transmit 88`,
    `${name} egress delivered 88`,
  ]);
  assert.deepEqual(programsOf([overlay], host()), [...UPLINK, ...ends]);
  const { networks, tunnels } = planFastPath([overlay], host());
  assert.deepEqual(networks, [{ name: 'overlay', links: ['veth-a', 'veth-routed'], without: [] }]);
  assert.deepEqual(tunnels, [{ port: 8472, vni: 88 }]);
});

test('ports of the bridge of an L2 network, and the uplink once for all networks', () => {
  const programs = programsOf([overlay, blue], host());
  assert.deepEqual(programs.slice(0, 2), UPLINK);
  assert.deepEqual(programs.slice(-2), ['veth-blue ingress transmit 200', 'veth-blue egress delivered 200']);
  assert.equal(new Set(programs).size, programs.length);
});

test('nothing at all where no container is', () => {
  const links = LINKS.filter(({ info }) => info?.kind !== 'veth');
  const plan = planFastPath([overlay], host({ links }));
  assert.deepEqual([plan.programs, plan.tunnels], [[], []]);
  assert.deepEqual(plan.networks[0]?.obstacle, OBSTACLES.noContainers);
});

test('of two tunnels the first is that of the plan that is published, and packets of both are seen', () => {
  const tunnels = [
    { link: 'flannel.99', port: 8472, vni: 99 },
    { link: 'flannel.88', port: 8472, vni: 88 },
  ];
  const plan = planFastPath([{ ...overlay, tunnels }], host());
  assert.equal(plan.programs.at(-1)?.program, 'delivered 99');
  assert.deepEqual(
    plan.tunnels.map(({ vni }) => vni),
    [99, 88],
  );
});

describe('a link is left out', () => {
  for (const [what, changes, code, text] of [
    [
      'whose queue limits it',
      { at: { 10: { queue: 'tbf' } } },
      'LINK_QUEUE',
      'veth-a has a queue that packets must pass (tbf)',
    ],
    [
      'whose bridge has such a queue',
      { at: { 4: { queue: 'htb' } } },
      'LINK_QUEUE',
      'docker0 has a queue that packets must pass (htb)',
    ],
    [
      'at which another program looks at packets',
      { at: { 10: { egress: ['the program other_prog (id 7)'] } } },
      'LINK_PROGRAM',
      'veth-a has the program other_prog (id 7) of others, which must see each packet',
    ],
    [
      'whose other end is on the host',
      {
        links: LINKS.map(one =>
          one.index === 10 ? linkFixture(10, 'veth-a', { info: { kind: 'veth' }, master: 4 }) : one,
        ),
      },
      'SAME_NAMESPACE',
      'both ends of the link are on the host: no container is behind it',
    ],
  ] as const) {
    test(what, () => {
      const plan = planFastPath([overlay], host(changes));
      assert.deepEqual(plan.networks, [
        { name: 'overlay', links: ['veth-routed'], without: [{ link: 'veth-a', code, text }] },
      ]);
      assert.ok(plan.programs.every(program => program.link !== 'veth-a'));
    });
  }

  test('but not for the queue that links have by themselves', () => {
    for (const queue of ['noqueue', 'pfifo_fast', 'fq_codel'])
      assert.deepEqual(
        planFastPath([overlay], host({ at: { 10: { queue }, 2: { queue: 'htb' } } })).networks[0]?.without,
        [],
      );
  });
});

describe('a network is left out', () => {
  for (const [what, changes, code] of [
    [
      'whose underlay is no Ethernet',
      { links: LINKS.map(one => (one.index === 2 ? { ...one, type: 65534 } : one)) },
      'NOT_ETHERNET',
    ],
    [
      'where another program filters what comes in by the underlay',
      { at: { 2: { ingress: ['a filter (u32, pref 1)'] } } },
      'LINK_PROGRAM',
    ],
    ['whose tunnel device has a queue', { at: { 3: { queue: 'netem' } } }, 'LINK_QUEUE'],
    [
      'whose tunnel device has an XDP program',
      { links: LINKS.map(one => (one.index === 3 ? { ...one, xdpProgram: 9 } : one)) },
      'LINK_PROGRAM',
    ],
  ] as const) {
    test(what, () => {
      const plan = planFastPath([overlay], host(changes));
      assert.deepEqual(plan.programs, []);
      assert.equal(plan.networks[0]?.obstacle?.code, code);
    });
  }

  test('for a reason of its own, while others go on', () => {
    const plan = planFastPath([{ ...overlay, obstacle: OBSTACLES.offByConfig }, blue], host());
    assert.deepEqual(plan.networks[0]?.obstacle, OBSTACLES.offByConfig);
    assert.equal(plan.programs.length, 4);
  });
});

test('a filter of others at the egress of the underlay sees fast packets too', () => {
  assert.equal(programsOf([overlay], host({ at: { 2: { egress: ['a filter (bpf, pref 1)'] } } })).length, 6);
});

test('the decision depends on the links that packets pass, and on no others', () => {
  assert.deepEqual(
    [...planFastPath([overlay], host()).links].sort((a, b) => a - b),
    [2, 3, 4, 10, 13],
  );
});

test('an obstacle of the host is that of all networks', () => {
  const plan = planFastPath([overlay, blue], host(), OBSTACLES.offByFlag);
  assert.deepEqual(plan.programs, []);
  assert.deepEqual(
    plan.networks.map(({ obstacle }) => obstacle),
    [OBSTACLES.offByFlag, OBSTACLES.offByFlag],
  );
});
