/**
 * A packet is followed over two hosts of a lab, each asked through its agent: all is well, then something is broken at one
 * place after the other, and the trace marks that hop, on that host, with what was broken.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { needsLab } from '../support/lab.ts';
import { LabPair, type PairHost } from '../support/lab-pair.ts';
import { placesOf, type ToldTrace, traceOn } from '../support/told-trace.ts';

const PATIENCE = 60_000;

/** Runs a command on a host, or in its container. */
const on = async (host: PairHost, line: string, inContainer = false) => {
  const [program = '', ...args] = (inContainer ? `ip netns exec c1 ${line}` : line).split(' ');
  await host.host.run(program, args, { timeout: PATIENCE });
};

const brokenAt = ({ broken }: ToldTrace) =>
  broken === undefined ? 'nowhere' : `${broken.host}/${broken.place}`;

interface PlantedFault {
  readonly name: string;
  /** Commands on the second host; those that undo it. */
  readonly plant: readonly string[];
  readonly mend: readonly string[];
  readonly inContainer?: true;
  readonly at: string;
  readonly reason: RegExp;
}

const FAULTS: readonly PlantedFault[] = [
  {
    name: 'a rule that drops the tunnel',
    plant: ['iptables -t raw -I PREROUTING -p udp --dport 4789 -j DROP'],
    mend: ['iptables -t raw -D PREROUTING -p udp --dport 4789 -j DROP'],
    at: 'docker2/flannel.88',
    reason: /rule of docker2 drops it, in ip raw PREROUTING: -p udp .*--dport 4789 -j DROP/,
  },
  {
    name: 'a rule in the container',
    plant: ['iptables -I INPUT -p icmp -j DROP'],
    mend: ['iptables -D INPUT -p icmp -j DROP'],
    inContainer: true,
    at: 'docker2/c1',
    reason: /rule of c1 on docker2 drops it, in ip filter INPUT/,
  },
  {
    name: 'a container without a default route',
    plant: ['ip route del default'],
    mend: ['ip route add default via GATEWAY'],
    inContainer: true,
    at: 'docker2/c1',
    reason: /c1 has no route to 188\.172\./,
  },
  {
    name: 'a link that is no port of the bridge',
    plant: ['ip link set veth-c1 nomaster'],
    mend: ['ip link set veth-c1 master docker0'],
    at: 'docker2/docker0',
    reason: /veth-c1, which leads to c1, is a port of no bridge/,
  },
  {
    name: 'a route of another program that takes the answers',
    plant: ['ip route add FIRST dev eth0'],
    mend: ['ip route del FIRST dev eth0'],
    at: 'docker2/docker2',
    reason: /Another route takes what is for docker1 to eth0/,
  },
  {
    name: 'forwarding switched off for the bridge',
    plant: ['sysctl -qw net.ipv4.conf.docker0.forwarding=0'],
    mend: ['sysctl -qw net.ipv4.conf.docker0.forwarding=1'],
    at: 'docker2/docker2',
    reason: /docker2 forwards nothing that comes in by docker0/,
  },
];

/** What leads a port of a host to its container, as Docker does it and by hand. */
const PUBLISHING = [
  {
    name: 'iptables',
    rules: [
      'iptables -t nat -N DOCKER',
      'iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER',
      'iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER',
      'iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination TARGET:80',
    ],
    undo: [
      'iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER',
      'iptables -t nat -D OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER',
      'iptables -t nat -F DOCKER',
      'iptables -t nat -X DOCKER',
    ],
    chain: /nat DOCKER: .*-j DNAT --to-destination/,
  },
  {
    name: 'nftables',
    rules: [
      'nft add table ip published',
      'nft add chain ip published in { type nat hook prerouting priority -100 ; policy accept ; }',
      'nft add chain ip published own { type nat hook output priority -100 ; policy accept ; }',
      'nft add rule ip published in fib daddr type local tcp dport 8080 dnat to TARGET:80',
      'nft add rule ip published own fib daddr type local tcp dport 8080 dnat to TARGET:80',
    ],
    undo: ['nft delete table ip published'],
    chain: /ip published in: fib daddr type local tcp dport 8080 dnat to /,
  },
];

describe('a packet is followed over two hosts', needsLab(), () => {
  let pair: LabPair;
  before(async () => {
    pair = await LabPair.create({ family: 'ipv4' });
    await pair.whole();
    await pair.untilReachable();
  });
  after(() => pair[Symbol.asyncDispose]());

  /** The agents of both hosts answer each other a moment after the lab is there. */
  const whole = (from: PairHost, ...words: string[]) =>
    eventually(
      'both hosts say their part',
      async () => {
        const told = await traceOn(from, ...words);
        return told.unasked.length === 0 ? told : undefined;
      },
      PATIENCE,
    );

  test('there and back, every step on the host that makes it', () =>
    pair.explaining(async () => {
      const told = await whole(pair.first, 'c1', 'docker2/c1');
      assert.deepEqual([told.ok, told.sent?.outcome], [true, 'answered']);
      const way = (near: string, far: string) => [
        `${near}/c1`,
        `${near}/docker0`,
        near,
        `${near}/flannel.88`,
        `${near}/flannel.88`,
        `${near}/eth0`,
        `${far}/eth0`,
        `${far}/flannel.88`,
        far,
        `${far}/docker0`,
        `${far}/c1`,
      ];
      assert.deepEqual(placesOf(told, 'request'), way('docker1', 'docker2'));
      assert.deepEqual(placesOf(told, 'reply'), way('docker2', 'docker1'));
      const watched = told.hops.filter(({ passes }) => passes !== undefined);
      assert.deepEqual(
        watched.filter(({ seen }) => seen !== true),
        [],
        'it was seen at every step',
      );
      const entries = told.hops.flatMap(hop => hop.entries);
      for (const pattern of [
        /^default via 188\.172\.\d+\.1 dev eth0/,
        /via 188\.172\.\d+\.0 dev flannel\.88 proto 77 onlink$/,
        /dev flannel\.88 lladdr [0-9a-f:]{17} PERMANENT$/,
        /dst 192\.168\.65\.4 self permanent$/,
      ])
        assert.ok(
          entries.some(entry => pattern.test(entry)),
          `${pattern} in ${entries.join('\n')}`,
        );
      const rules = told.hops.flatMap(hop => hop.rules.map(({ verdict, hook }) => `${verdict} ${hook}`));
      assert.ok(rules.includes('accepted forward'), rules.join());
    }));

  test('a connection, a datagram, between hosts, and from the other host', () =>
    pair.explaining(async () => {
      const tcp = await whole(pair.first, 'c1', 'docker2/c1', '--proto', 'tcp', '--port', '80');
      assert.deepEqual([tcp.ok, tcp.sent?.outcome], [true, 'closed']);
      const udp = await whole(pair.first, 'c1', 'docker2/c1', '--proto', 'udp', '--port', '80');
      assert.deepEqual([udp.ok, udp.sent?.outcome], [true, 'closed']);
      const hosts = await whole(pair.first, 'docker1', 'docker2');
      assert.deepEqual([hosts.ok, hosts.sent?.outcome], [true, 'answered']);
      const other = await whole(pair.first, 'docker2/c1', 'c1');
      assert.match(other.unmeasured ?? '', /would leave from docker2/);
      assert.equal(other.ok, true);
    }));

  for (const { name, rules, undo, chain } of PUBLISHING) {
    test(`to a published port, ${name}: the translation is followed, and that of the answer`, () =>
      pair.explaining(async () => {
        const target = pair.second.ip.ipv4 ?? '';
        const fill = (line: string) => line.replace('TARGET', target);
        for (const line of rules) await on(pair.second, fill(line));
        try {
          const told = await whole(pair.first, 'c1', 'docker2', '--proto', 'tcp', '--port', '8080');
          assert.deepEqual([told.ok, told.sent?.outcome], [true, 'closed'], JSON.stringify(told.broken));
          assert.deepEqual(placesOf(told, 'request'), [
            'docker1/c1',
            'docker1/docker0',
            'docker1',
            'docker1',
            'docker1/eth0',
            'docker2/eth0',
            'docker2',
            'docker2',
            'docker2/docker0',
            'docker2/c1',
          ]);
          assert.deepEqual(placesOf(told, 'reply'), [
            'docker2/c1',
            'docker2/docker0',
            'docker2',
            'docker2',
            'docker2/eth0',
            'docker1/eth0',
            'docker1',
            'docker1',
            'docker1/docker0',
            'docker1/c1',
          ]);
          const changed = told.hops.filter(({ layer }) => layer === 'nat');
          assert.deepEqual(
            changed.map(({ translated, entries }) => [translated, entries.length]),
            [
              [{ from: '192.168.65.3', to: '192.168.65.4' }, 1],
              [{ from: '192.168.65.3', to: target }, 1],
              [{ from: '192.168.65.4', to: '192.168.65.3' }, 0],
              [{ from: '192.168.65.4', to: pair.first.ip.ipv4 }, 0],
            ],
          );
          assert.match(changed[1]?.story ?? '', /192\.168\.65\.4:8080 becomes .*:80\.$/);
          assert.match(changed[1]?.entries[0] ?? '', chain);
          const own = await whole(pair.second, 'docker2', 'docker2', '--proto', 'tcp', '--port', '8080');
          assert.deepEqual([own.ok, own.sent?.outcome], [true, 'closed'], JSON.stringify(own.broken));
          assert.equal(placesOf(own, 'request').at(-1), 'docker2/c1');
        } finally {
          for (const line of undo) await on(pair.second, line);
        }
      }));
  }

  for (const { name, plant, mend, inContainer = false, at, reason } of FAULTS) {
    test(`${name}: it is marked`, () =>
      pair.explaining(async () => {
        const gateway = (pair.second.record.subnet.ipv4 ?? '').replace(/0\/24$/, '1');
        const fill = (line: string) =>
          line.replace('GATEWAY', gateway).replace('FIRST', `${pair.first.ip.ipv4}/32`);
        for (const line of plant) await on(pair.second, fill(line), inContainer);
        try {
          const told = await whole(pair.first, 'c1', `docker2/c1`);
          assert.equal(brokenAt(told), at, JSON.stringify(told.broken));
          assert.match(told.broken?.reason ?? '', reason);
          assert.notEqual(told.broken?.remedy, '');
        } finally {
          for (const line of mend) await on(pair.second, fill(line), inContainer);
        }
        await eventually(
          'packets arrive again',
          async () => (await traceOn(pair.first, 'c1', 'docker2/c1')).ok,
          PATIENCE,
        );
      }));
  }
});

describe('other ways to another host', needsLab(), () => {
  for (const { type, places } of [
    { type: 'host-gw', places: ['docker1/eth0', 'docker2/eth0', 'docker2'] },
    {
      type: 'udp',
      places: ['docker1/flannel0', 'docker1/eth0', 'docker2/eth0', 'docker2/flannel0', 'docker2'],
    },
  ] as const) {
    test(`${type}: every step is there, and was seen`, async () => {
      await using pair = await LabPair.create({ family: 'ipv4', backend: { Type: type } });
      await pair.whole();
      await pair.untilReachable();
      await pair.explaining(async () => {
        const told = await eventually(
          'both hosts say their part',
          async () => {
            const found = await traceOn(pair.first, 'c1', 'docker2/c1');
            return found.unasked.length === 0 ? found : undefined;
          },
          PATIENCE,
        );
        assert.deepEqual([told.ok, told.sent?.outcome], [true, 'answered']);
        const way = ['docker1/c1', 'docker1/docker0', 'docker1', ...places, 'docker2/docker0', 'docker2/c1'];
        assert.deepEqual(placesOf(told, 'request'), way);
        const unseen = told.hops.filter(({ passes, seen }) => passes !== undefined && seen !== true);
        assert.deepEqual(unseen, []);
      });
    });
  }
});
