import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  conntrackCounters,
  counterChanges,
  ipv6Counters,
  linkCounters,
  pairedLines,
  softnetCounters,
} from './counters.ts';

/** Read on Linux 6.18, shortened. */
const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1000 10    1    2    3     4          0         0 2000 20    5    6    7     0       8          0
flannel.88: 0 0    0    9    0     0          0         0 0 0    0    0    0     0       0          0
`;
const SNMP = `Ip: Forwarding DefaultTTL InReceives OutNoRoutes
Ip: 1 64 100 3
IcmpMsg: InType8
IcmpMsg: 4
Udp: InDatagrams NoPorts InErrors InCsumErrors
Udp: 5 6 7 8
`;
const CONNTRACK = `entries  clashres found drop insert_failed
0000000a  00000000 00000000 00000001 0000000f
0000000a  00000000 00000000 00000002 00000001
`;

test('the counters of links, by what they mean', () => {
  assert.deepEqual(Object.fromEntries(linkCounters(DEV)), {
    'lo rx_errors': 1,
    'lo rx_dropped': 2,
    'lo rx_fifo_errors': 3,
    'lo rx_frame_errors': 4,
    'lo tx_errors': 5,
    'lo tx_dropped': 6,
    'lo tx_fifo_errors': 7,
    'lo tx_carrier_errors': 8,
    'flannel.88 rx_errors': 0,
    'flannel.88 rx_dropped': 9,
    'flannel.88 rx_fifo_errors': 0,
    'flannel.88 rx_frame_errors': 0,
    'flannel.88 tx_errors': 0,
    'flannel.88 tx_dropped': 0,
    'flannel.88 tx_fifo_errors': 0,
    'flannel.88 tx_carrier_errors': 0,
  });
});

test('the counters of protocols, without settings', () => {
  assert.deepEqual(Object.fromEntries(pairedLines(SNMP)), {
    'Ip InReceives': 100,
    'Ip OutNoRoutes': 3,
    'Udp InDatagrams': 5,
    'Udp NoPorts': 6,
    'Udp InErrors': 7,
    'Udp InCsumErrors': 8,
  });
  const six = 'Ip6InReceives                   \t12\nIcmp6InErrors                   \t1\nUdp6NoPorts  \t3\n';
  assert.deepEqual(Object.fromEntries(ipv6Counters(six)), {
    'Ip6 InReceives': 12,
    'Icmp6 InErrors': 1,
    'Udp6 NoPorts': 3,
  });
});

test('the sums over processors', () => {
  assert.deepEqual(Object.fromEntries(conntrackCounters(CONNTRACK)), {
    'conntrack clashres': 0,
    'conntrack found': 0,
    'conntrack drop': 3,
    'conntrack insert_failed': 16,
  });
  const softnet = '0000ffff 00000001 00000002 0\n0000ffff 00000010 00000000 0\n';
  assert.deepEqual(Object.fromEntries(softnetCounters(softnet)), {
    'softnet dropped': 17,
    'softnet time_squeeze': 2,
  });
  assert.deepEqual([...conntrackCounters(''), ...pairedLines(''), ...linkCounters('')], []);
});

test('what grew, of a link that is new as well', () => {
  const before = new Map([
    ['Udp NoPorts', 1],
    ['Ip InReceives', 5],
  ]);
  const after = new Map([
    ['Udp NoPorts', 3],
    ['Ip InReceives', 5],
    ['vx2 rx_dropped', 4],
  ]);
  assert.deepEqual(counterChanges(before, after, 'c1'), [
    { name: 'Udp NoPorts', by: 2, container: 'c1' },
    { name: 'vx2 rx_dropped', by: 4, container: 'c1' },
  ]);
});
