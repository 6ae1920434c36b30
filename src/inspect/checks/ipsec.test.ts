/** Listings of `ip xfrm policy`, as iproute2 prints them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePolicies } from './ipsec.ts';

const LISTING = `src ::/0 dst fd00::/8 
\tdir in action block priority 0 ptype main 
src 10.3.1.1/32 dst 10.3.2.0/24 
\tdir fwd priority 0 ptype main 
\tmark 0x3/0x7 
\ttmpl src 192.0.2.1 dst 192.0.2.2
\t\tproto esp reqid 0 mode tunnel
src 10.3.1.0/24 dst 10.3.2.0/24 proto tcp dport 80 dev lo 
\tdir out action block priority 7 ptype main 
src 10.3.1.0/24 dst 10.3.2.0/24 proto udp dport 80 
\tdir out action block priority 7 ptype main 
src 0.0.0.0/0 dst 0.0.0.0/0 
\tsocket in priority 0 ptype main 
src 10.0.0.0/8 dst 10.0.0.0/8 
\tdir out priority 7 ptype main 
`;

test('policies are read in the order in which the kernel asks them, without those that look at more', () => {
  assert.deepEqual(
    parsePolicies(LISTING).map(({ direction, selector, protocol, toPort, blocks }) => [
      direction,
      selector,
      protocol,
      toPort,
      blocks,
    ]),
    [
      ['in', 'src ::/0 dst fd00::/8', undefined, undefined, true],
      ['out', 'src 10.0.0.0/8 dst 10.0.0.0/8', undefined, undefined, false],
      ['out', 'src 10.3.1.0/24 dst 10.3.2.0/24 proto udp dport 80', 'udp', 80, true],
    ],
  );
  assert.deepEqual(parsePolicies(''), []);
});
