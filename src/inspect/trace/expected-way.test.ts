import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { expectedHops, firstDifference, type WayOfPacket } from './expected-way.ts';
import { hopLine } from './text.ts';

/** As Docker makes them, and a rule of its user. */
const SAVED = `*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 10080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -g DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -m comment --comment "the user's" -p udp -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`;

interface Case {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly input?: string;
  readonly saved?: string;
}

async function wayOf({
  from,
  to,
  port = 10080,
  protocol = 'tcp',
  input,
  saved = SAVED,
}: Case): Promise<string[]> {
  const way: WayOfPacket = {
    packet: {
      protocol,
      source: Ip.parse(from),
      destination: Ip.parse(to),
      sourcePort: 40000,
      destinationPort: port,
    },
    ...(input === undefined ? {} : { input }),
    isLocal: address => /^(127\.|192\.168\.65\.3$|172\.17\.0\.1$)/.test(`${address}`),
    linkTo: address =>
      Promise.resolve(
        `${address}`.startsWith('172.17.0.2')
          ? 'docker0'
          : /^(127|192\.168\.65\.3$)/.test(`${address}`)
            ? 'lo'
            : 'eth0',
      ),
  };
  return (await expectedHops(saved, way))
    .filter(hop => hop.isOptional !== true)
    .map(hop => `${hop.hook} ${hopLine(hop)}`);
}

describe('the way that the rules say', () => {
  test('from outside: translated, then through the jumps of FORWARD', async () => {
    assert.deepEqual(await wayOf({ from: '192.168.65.4', to: '192.168.65.3', input: 'eth0' }), [
      'prerouting nat PREROUTING: -m addrtype --dst-type LOCAL -j DOCKER => jump DOCKER',
      'prerouting nat DOCKER: ! -i docker0 -p tcp -m tcp --dport 10080 -j DNAT --to-destination 172.17.0.2:80 => accept',
      'forward filter FORWARD: -j DOCKER-USER => jump DOCKER-USER',
      'forward filter DOCKER-USER: -j RETURN => return',
      'forward filter FORWARD: -o docker0 -g DOCKER => goto DOCKER',
      'forward filter DOCKER: -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT => accept',
      'postrouting nat POSTROUTING: policy accept',
    ]);
  });

  test('of the host to itself: loopback is not translated, its other addresses are', async () => {
    assert.deepEqual(await wayOf({ from: '127.0.0.1', to: '127.0.0.1' }), [
      'output nat OUTPUT: policy accept',
      'postrouting nat POSTROUTING: policy accept',
    ]);
    assert.deepEqual(await wayOf({ from: '192.168.65.3', to: '192.168.65.3' }), [
      'output nat OUTPUT: ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER => jump DOCKER',
      'output nat DOCKER: ! -i docker0 -p tcp -m tcp --dport 10080 -j DNAT --to-destination 172.17.0.2:80 => accept',
      'postrouting nat POSTROUTING: policy accept',
    ]);
  });

  test('to a drop, by a rule and by the policy; of the container to the world', async () => {
    const udp = await wayOf({ from: '192.168.65.4', to: '172.17.0.2', protocol: 'udp', input: 'eth0' });
    assert.equal(
      udp.at(-1),
      `forward filter DOCKER-USER: -m comment --comment "the user's" -p udp -j DROP => drop`,
    );
    const tcp = await wayOf({ from: '192.168.65.4', to: '172.17.0.2', port: 81, input: 'eth0' });
    assert.deepEqual(tcp.slice(-2), [
      'forward filter DOCKER: end of the chain',
      'forward filter FORWARD: policy drop',
    ]);
    const saved = SAVED.replace(':FORWARD DROP', ':FORWARD ACCEPT');
    const out = await wayOf({ from: '172.17.0.2', to: '192.0.2.1', port: 80, input: 'docker0', saved });
    assert.equal(
      out.at(-1),
      'postrouting nat POSTROUTING: -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE => accept',
    );
  });

  test('without docker-proxy loopback is translated, and leaves with the address of the bridge', async () => {
    const saved = SAVED.replace('OUTPUT ! -d 127.0.0.0/8', 'OUTPUT').replace(
      '-A POSTROUTING',
      '-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE\n-A POSTROUTING',
    );
    assert.deepEqual((await wayOf({ from: '127.0.0.1', to: '127.0.0.1', saved })).slice(1), [
      'output nat DOCKER: ! -i docker0 -p tcp -m tcp --dport 10080 -j DNAT --to-destination 172.17.0.2:80 => accept',
      'postrouting nat POSTROUTING: -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE => accept',
    ]);
  });

  test('agrees with a trace, or names the first hop that differs', async () => {
    const hops = await expectedHops(SAVED, {
      packet: {
        protocol: 'tcp',
        source: Ip.parse('127.0.0.1'),
        destination: Ip.parse('127.0.0.1'),
        destinationPort: 10080,
      },
      isLocal: () => true,
      linkTo: () => Promise.resolve('lo'),
    });
    const [nat, filter, last] = [
      'nat OUTPUT: policy accept',
      'filter OUTPUT: policy accept',
      'nat POSTROUTING: policy accept',
    ] as const;
    const input = 'filter INPUT: policy accept';
    assert.equal(firstDifference([nat, filter, last, input], hops), undefined);
    assert.equal(firstDifference([nat, last], hops), undefined, 'a chain without rules may be missing');
    assert.equal(firstDifference([filter, last], hops), `${filter}, where the rules say ${nat}`);
    assert.equal(firstDifference([nat], hops), `the end, where the rules say ${last}`);
    assert.equal(firstDifference([nat, last, 'x'], hops), 'x, where the rules say the end');
  });

  test('what is not known is refused', async () => {
    for (const rule of ['-A FORWARD -m limit --limit 1/sec -j ACCEPT', '-A FORWARD -j NFLOG'])
      await assert.rejects(
        wayOf({
          from: '192.168.65.4',
          to: '172.17.0.2',
          input: 'eth0',
          saved: SAVED.replace('-A FORWARD -j DOCKER-USER', rule),
        }),
        { name: 'TraceError', code: 'UNREADABLE' },
      );
  });
});
