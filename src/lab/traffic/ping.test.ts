import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Family } from '../../base/ip.ts';
import { formatMatrix } from './matrix.ts';
import { parsePing, tollOfAll } from './ping.ts';

/** iputils 20221126. */
const GOOD = `PING 188.172.4.2 (188.172.4.2) 56(84) bytes of data.

--- 188.172.4.2 ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 102ms
rtt min/avg/max/mdev = 0.036/0.042/0.054/0.008 ms
`;
const PARTIAL = `--- 188.172.4.2 ping statistics ---
4 packets transmitted, 1 received, +2 errors, 75% packet loss, time 3074ms
rtt min/avg/max/mdev = 1.234/1.234/1.234/0.000 ms
`;

const pair = (from: string, to: string, lost: number, family: Family = 'ipv4') => ({
  from,
  to,
  family,
  ip: '192.0.2.1',
  sent: 3,
  lost,
  ...(lost === 3 ? {} : { rtt: 0.5 }),
});

describe('ping', () => {
  test('reads the summary', () => {
    assert.deepEqual(parsePing(GOOD, 3), { sent: 3, lost: 0, rtt: 0.042 });
    assert.deepEqual(parsePing(PARTIAL, 4), { sent: 4, lost: 3, rtt: 1.234 });
  });

  test('no summary means that nothing got through', () => {
    assert.deepEqual(parsePing('ping: connect: Network is unreachable', 3), { sent: 3, lost: 3 });
  });

  test('the round trip of several bursts is that of all answers', () => {
    const bursts = [
      { sent: 10, lost: 0, rtt: 1 },
      { sent: 10, lost: 5, rtt: 4 },
      { sent: 2, lost: 2 },
    ];
    assert.deepEqual(tollOfAll(bursts), { sent: 22, lost: 7, rtt: 2 });
    assert.deepEqual(tollOfAll([{ sent: 3, lost: 3 }]), { sent: 3, lost: 3 });
  });

  test('the matrix shows each pair where its row and column meet', () => {
    const results = [
      pair('docker1', 'docker2/c1', 0),
      pair('docker2', 'docker1/c1', 3),
      pair('docker2/c1', 'docker1/c1', 1),
    ];
    assert.equal(
      formatMatrix({ results }),
      [
        'FROM        docker1/c1  docker2/c1',
        'docker1              =     0.50 ms',
        'docker2           lost           =',
        'docker2/c1    1/3 lost           =',
      ].join('\n'),
    );
    const both = [pair('docker1', 'docker2/c1', 0), pair('docker1', 'docker2/c1', 3, 'ipv6')];
    assert.equal(
      formatMatrix({ results: both }),
      [
        'IPv4',
        'FROM     docker2/c1',
        'docker1     0.50 ms',
        '',
        'IPv6',
        'FROM     docker2/c1',
        'docker1        lost',
      ].join('\n'),
    );
  });

  test('the matrix is folded between host and container, and into blocks, before it is wider than the terminal', () => {
    const names = ['docker1', 'docker2', 'docker3'];
    const pairs = (containers: number) =>
      names.flatMap(from =>
        names
          .filter(to => to !== from)
          .flatMap(to =>
            Array.from({ length: containers }, (_, index) => pair(from, `${to}/c${index + 1}`, 0)),
          ),
      );
    assert.deepEqual(
      formatMatrix({ results: pairs(2) }, 79)
        .split('\n')
        .slice(0, 3),
      [
        'FROM     docker1/c1  docker1/c2  docker2/c1  docker2/c2  docker3/c1  docker3/c2',
        'docker1           =           =     0.50 ms     0.50 ms     0.50 ms     0.50 ms',
        'docker2     0.50 ms     0.50 ms           =           =     0.50 ms     0.50 ms',
      ],
    );
    assert.deepEqual(
      formatMatrix({ results: pairs(2) }, 61)
        .split('\n')
        .slice(0, 3),
      [
        'FROM     docker1  docker1  docker2  docker2  docker3  docker3',
        '              c1       c2       c1       c2       c1       c2',
        'docker1        =        =  0.50 ms  0.50 ms  0.50 ms  0.50 ms',
      ],
    );
    const many = formatMatrix({ results: pairs(4) }, 80);
    const lines = many.split('\n');
    assert.ok(
      lines.every(line => line.length <= 80),
      many,
    );
    assert.equal(lines.filter(line => line.startsWith('FROM')).length, 2);
    assert.equal(lines.filter(line => line.startsWith('docker1')).length, 2);
  });
});
