/** The check of routing, each fault planted in a namespace of its own. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkRouting } from '../../src/inspect/checks/routing.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lookWith } from '../support/look-host.ts';

interface Row {
  readonly plant: string;
  readonly code: string;
  /** Of the reason. */
  readonly says: RegExp;
  readonly evidence: string | RegExp;
}

const rows: Readonly<Record<string, Row>> = {
  'a blackhole for part of the subnet of a peer': {
    plant: 'ip route add blackhole 10.3.2.0/25',
    code: 'ROUTE_BLACKHOLE',
    says: /type blackhole discards packets of containers of docker1 for those of docker2$/,
    evidence: 'blackhole 10.3.2.0/25',
  },
  'a longer prefix over another link': {
    plant: 'ip route add 10.3.2.0/25 dev eth0',
    code: 'ROUTE_CAPTURES',
    says: /takes packets .* docker2 to eth0, not to flannel.88/,
    evidence: '10.3.2.0/25 dev eth0 scope link',
  },
  'one address of a peer through another host': {
    plant: 'ip route add 10.3.2.9/32 via 192.168.65.5',
    code: 'ROUTE_CAPTURES',
    says: /docker2 to eth0 via 192.168.65.5/,
    evidence: '10.3.2.9 via 192.168.65.5 dev eth0',
  },
  'the route of one peer leads to another peer': {
    plant: 'ip route replace 10.3.2.0/24 via 10.3.3.0 dev flannel.88 onlink',
    code: 'ROUTE_CAPTURES',
    says: /docker2 to flannel.88 via 10.3.3.0/,
    evidence: '10.3.2.0/24 via 10.3.3.0 dev flannel.88 onlink',
  },
  'a policy rule for what containers send': {
    plant:
      'ip rule add from 10.3.1.0/24 lookup 77 priority 10; ip route add default via 192.168.65.1 table 77',
    code: 'POLICY_RULE',
    says: /policy rule takes packets of containers of docker1 for those of docker2, docker3 to eth0 via 192.168.65.1/,
    evidence: '10: from 10.3.1.0/24 lookup 77 -> default via 192.168.65.1 dev eth0 table 77',
  },
  'a policy rule that ends what comes back': {
    plant: 'ip rule add to 10.3.1.0/24 iif flannel.88 prohibit priority 10',
    code: 'POLICY_RULE',
    says: /discards packets of docker2, docker3 for containers of docker1/,
    evidence: '10: from all to 10.3.1.0/24 iif flannel.88 prohibit',
  },
  'a policy rule for connections only': {
    plant: 'ip rule add from 10.3.1.0/24 ipproto tcp blackhole priority 10',
    code: 'POLICY_RULE',
    says: /discards TCP packets of containers of docker1 for those of docker2, docker3/,
    evidence: '10: from 10.3.1.0/24 ipproto tcp blackhole',
  },
  'an inverted rule': {
    plant: 'ip rule add not fwmark 0x7 lookup 77 priority 10; ip route add unreachable default table 77',
    code: 'POLICY_RULE',
    says: /discards/,
    evidence: '10: not from all fwmark 0x7 lookup 77 -> unreachable default table 77',
  },
  'a rule for a mark that a firewall makes': {
    plant: `nft 'add table ip marks; add chain ip marks c { type filter hook prerouting priority -145; }'
      nft 'add rule ip marks c iifname docker0 meta mark set 0x99'
      ip rule add fwmark 0x99 unreachable priority 10`,
    code: 'POLICY_RULE',
    says: /discards packets of containers of docker1 for those of docker2, docker3$/,
    evidence: '10: from all fwmark 0x99 unreachable',
  },
  'a missing route': {
    plant: 'ip route delete 10.3.3.0/24',
    code: 'ROUTE_MISSING',
    says: /no route for packets of containers of docker1 for those of docker3: the kernel discards/,
    evidence: 'ip route get 10.3.3.2: ENETUNREACH',
  },
  'a missing route, and a default one': {
    plant: 'ip route delete 10.3.3.0/24; ip route add default via 192.168.65.1',
    code: 'ROUTE_MISSING',
    says: /no route .* docker3: `default via 192.168.65.1 dev eth0` takes them to eth0/,
    evidence: 'default via 192.168.65.1 dev eth0',
  },
  'an address of a peer on this host': {
    plant: 'ip addr add 10.3.2.7/32 dev lo',
    code: 'DUPLICATE_ADDRESS',
    says: /docker1 itself has the address 10.3.2.7/,
    // Without rules the kernel keeps the tables local and main as one.
    evidence: /^local 10.3.2.7 dev lo /,
  },
  'no forwarding': {
    plant: 'sysctl -qw net.ipv4.ip_forward=0',
    code: 'FORWARDING_OFF',
    says: /does not forward IPv4/,
    evidence: 'net.ipv4.ip_forward = 0',
  },
  'one link that does not forward': {
    plant: 'sysctl -qw net.ipv4.conf.docker0.forwarding=0',
    code: 'LINK_FORWARDING_OFF',
    says: /docker0 does not forward: the kernel discards packets of containers of docker1/,
    evidence: 'net.ipv4.conf.docker0.forwarding = 0',
  },
  'a strict source filter that another fault makes refuse': {
    plant: `sysctl -qw net.ipv4.conf.all.rp_filter=1
      ip rule add iif flannel.88 to 10.3.1.0/24 lookup 77 priority 10; ip route add 10.3.1.0/24 dev eth0 table 77`,
    code: 'POLICY_RULE',
    says: /takes packets of docker2, docker3 for containers of docker1 to eth0, not to docker0/,
    evidence:
      '10: from all to 10.3.1.0/24 iif flannel.88 lookup 77 -> 10.3.1.0/24 dev eth0 table 77 scope link',
  },
};

describe('routing', needsRoot, () => {
  test('a healthy host has no findings', async () => {
    assert.deepEqual(await lookWith(checkRouting), []);
  });

  test('what is not on the way is not named', async () => {
    const plant = `ip route add blackhole 10.9.0.0/16; ip rule add from 10.9.0.0/16 prohibit
      ip route add 172.16.0.0/12 dev eth0; sysctl -qw net.ipv4.conf.cable.forwarding=0
      sysctl -qw net.ipv4.conf.all.rp_filter=1
      ip rule add fwmark 0x7 unreachable; ip rule add from all lookup main suppress_prefixlength 0 priority 10`;
    assert.deepEqual(await lookWith(checkRouting, { plant }), []);
  });

  for (const [name, { plant, code, says, evidence }] of Object.entries(rows)) {
    test(name, async () => {
      const [first, ...more] = await lookWith(checkRouting, { plant });
      assert.deepEqual([first?.code, first?.severity], [code, 'error'], JSON.stringify(first));
      assert.match(first?.reason ?? '', says);
      const [entry = ''] = first?.evidence ?? [];
      if (typeof evidence === 'string') assert.equal(entry, evidence);
      else assert.match(entry, evidence);
      assert.deepEqual(
        more.map(each => each.code),
        [],
      );
    });
  }
});
