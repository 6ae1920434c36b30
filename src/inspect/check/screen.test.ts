import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uncoloured } from '../../console/fold.ts';
import { remedyText } from './screen.ts';

test('commands of a remedy that go on in another line can be copied, and a sentence is only folded', () => {
  for (const [remedy, lines] of [
    [
      'sysctl -w net.ipv4.conf.all.arp_ignore=0; sysctl -w net.ipv4.conf.eth0.arp_ignore=0  # or ask',
      [
        '  remedy: sysctl -w net.ipv4.conf.all.arp_ignore=0; sysctl \\',
        '    -w net.ipv4.conf.eth0.arp_ignore=0',
        '    # or ask',
      ],
    ],
    [
      'iptables-nft -D FORWARD -m conntrack --ctstate INVALID,NEW -j DROP',
      ['  remedy: iptables-nft -D FORWARD -m conntrack --ctstate \\', '    INVALID,NEW -j DROP'],
    ],
    [
      'docker1 and docker2 have one address, and one of them needs another',
      ['  remedy: docker1 and docker2 have one address, and one of', '    them needs another'],
    ],
  ] as const)
    assert.deepEqual(uncoloured(remedyText(remedy, 60)).split('\n'), lines);
});
