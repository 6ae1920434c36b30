/** The check of the firewall: rules of all programs, families and hooks, each planted in a namespace of its own. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkFirewall } from '../../src/inspect/checks/firewall.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lookWith } from '../support/look-host.ts';

/** A base chain of nftables with one rule. */
const nft = (family: string, base: string, rule: string) =>
  `nft 'add table ${family} foreign; add chain ${family} foreign c { ${base}; }; add rule ${family} foreign c ${rule}'`;

interface Row {
  readonly plant: string;
  /** Code and severity. */
  readonly finds: string;
  readonly says: RegExp;
}

const PINGS_OF_ALL =
  /ICMP packets of containers of docker1 for those of docker2, docker3 and of docker2, docker3 for containers of docker1/;

const rows: Readonly<Record<string, Row>> = {
  'iptables drops pings': {
    plant: 'iptables-nft -I FORWARD -p icmp -j DROP',
    finds: 'FIREWALL_DROP error',
    says: PINGS_OF_ALL,
  },
  'iptables drops what one peer sends': {
    plant: 'iptables-nft -A FORWARD -s 10.3.2.0/24 -j DROP',
    finds: 'FIREWALL_DROP error',
    says: /iptables-nft filter FORWARD drops packets of docker2 for containers of docker1: -A FORWARD -s 10.3.2.0\/24 -j DROP/,
  },
  'a policy of iptables-legacy': {
    plant: 'iptables-legacy -w -P FORWARD DROP',
    finds: 'FIREWALL_DROP error',
    says: /the policy of iptables-legacy filter FORWARD drops packets of containers of docker1/,
  },
  'tunnel packets of one peer in INPUT': {
    plant: 'iptables-nft -A INPUT -s 192.168.65.4 -p udp --dport 4789 -j REJECT',
    finds: 'FIREWALL_DROP error',
    says: /packets of the tunnel from docker2:/,
  },
  'tunnel packets in OUTPUT of nftables': {
    plant: nft('inet', 'type filter hook output priority 0', 'udp dport 4789 drop'),
    finds: 'FIREWALL_DROP error',
    says: /nftables inet foreign c drops packets of the tunnel to docker2, docker3: udp dport 4789 drop/,
  },
  'tunnel packets as they come in by the device': {
    plant: nft('netdev', 'type filter hook ingress device eth0 priority 0', 'udp dport 4789 drop'),
    finds: 'FIREWALL_DROP error',
    says: /nftables netdev foreign c drops packets of the tunnel from docker2, docker3/,
  },
  'connections are rejected, and nft does not print that the rule is about those': {
    plant: nft('ip', 'type filter hook forward priority 10', 'meta l4proto tcp reject with tcp reset'),
    finds: 'FIREWALL_DROP error',
    says: /drops TCP packets of containers of docker1 for those of docker2, docker3/,
  },
  'packets are handed to another device': {
    plant: nft(
      'netdev',
      'type filter hook ingress device docker0 priority 0',
      'ip daddr 10.3.2.0/24 fwd to lo',
    ),
    finds: 'FIREWALL_DROP error',
    says: /drops packets of containers of docker1 for those of docker2: ip daddr 10.3.2.0\/24 fwd to "?lo/,
  },
  'questions for MAC addresses as they come in by the device': {
    plant: nft('netdev', 'type filter hook ingress device eth0 priority 0', 'ether type arp drop'),
    finds: 'FIREWALL_DROP error',
    says: /drops packets that come in as ARP of docker2, docker3: ether type arp drop/,
  },
  'a rule writes another address without NAT': {
    plant: nft('ip', 'type filter hook forward priority 10', 'ip daddr 10.3.2.0/24 ip daddr set 10.9.9.9'),
    finds: 'TRANSLATED error',
    says: /changes the address of packets of containers of docker1 for those of docker2/,
  },
  'all connections are redirected': {
    plant: nft(
      'ip',
      'type nat hook prerouting priority -100',
      'ip daddr 10.3.2.0/24 tcp dport 1-65535 redirect to :9',
    ),
    finds: 'TRANSLATED error',
    says: /changes the destination of TCP packets of containers of docker1 for those of docker2/,
  },
  'tunnel packets get another source': {
    plant: nft('ip', 'type nat hook postrouting priority 90', 'udp dport 4789 snat to 192.168.65.200'),
    finds: 'TRANSLATED error',
    says: /changes the source of packets of the tunnel to docker2, docker3/,
  },
  'a rule of the family bridge': {
    plant: nft('bridge', 'type filter hook output priority 0', 'ip saddr 10.3.3.0/24 drop'),
    finds: 'FIREWALL_DROP error',
    says: /nftables bridge foreign c drops packets of docker3 for containers of docker1/,
  },
  'a chain with the policy drop': {
    plant: nft('ip', 'type filter hook forward priority 10; policy drop', 'ct state established accept'),
    finds: 'FIREWALL_DROP error',
    says: /the policy of nftables ip foreign c drops packets of containers of docker1/,
  },
  'a rule that drops some': {
    plant: 'iptables-nft -A FORWARD -m statistic --mode random --probability 0.5 -j DROP',
    finds: 'FIREWALL_DROP warning',
    says: /may drop ICMP packets/,
  },
  'pings between hosts, which the overlay does not need': {
    plant: 'iptables-nft -A INPUT -p icmp -j DROP',
    finds: 'FIREWALL_DROP warning',
    says: /drops ICMP packets of docker2, docker3 to docker1 itself outside of the tunnel/,
  },
  'large tunnel packets as they come in by the device': {
    plant: nft('netdev', 'type filter hook ingress device eth0 priority 0', 'meta length > 1300 drop'),
    finds: 'FIREWALL_DROP warning',
    says: /may drop packets of the tunnel from docker2, docker3/,
  },
  'ARP at the link to the peers': {
    plant: nft('arp', 'type filter hook input priority 0', 'iifname eth0 drop'),
    finds: 'FIREWALL_DROP error',
    says: /drops packets that come in as ARP of docker2, docker3/,
  },
  'the source of containers is changed': {
    plant: 'iptables-nft -t nat -A POSTROUTING -s 10.3.1.0/24 ! -o docker0 -j MASQUERADE',
    finds: 'MASQUERADE_FIRST warning',
    says: /changes the source of packets of containers of docker1 for those of docker2, docker3/,
  },
  'the destination of packets for a peer is changed': {
    plant: nft('ip', 'type nat hook prerouting priority -100', 'ip daddr 10.3.2.0/24 dnat to 192.168.65.3'),
    finds: 'TRANSLATED error',
    says: /changes the destination of packets of containers of docker1 for those of docker2/,
  },
};

describe('the firewall', needsRoot, () => {
  test('without rules there are no findings', async () => {
    assert.deepEqual(await lookWith(checkFirewall), []);
  });

  test('what is accepted before, is about others, or other protocols, is not named', async () => {
    const plant = `iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -s 10.3.0.0/16 -j ACCEPT
      iptables-nft -A FORWARD -s 10.3.0.0/16 -j DROP
      iptables-nft -A INPUT -p tcp --dport 22 -j DROP; iptables-nft -A INPUT -p udp --dport 53 -j DROP
      iptables-nft -A INPUT -i eth9 -j DROP; iptables-nft -A INPUT -s 172.16.0.0/12 -j DROP
      iptables-nft -A INPUT -m conntrack --ctstate INVALID -j DROP
      iptables-nft -t nat -A POSTROUTING -o eth0 -j MASQUERADE
      iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 80 -j DNAT --to 10.3.1.2
      ${nft('netdev', 'type filter hook ingress device cable priority 0', 'drop')}`;
    assert.deepEqual(await lookWith(checkFirewall, { plant }), []);
  });

  for (const [name, { plant, finds, says }] of Object.entries(rows)) {
    test(name, async () => {
      const causes = await lookWith(checkFirewall, { plant });
      assert.deepEqual(
        causes.map(({ code, severity }) => `${code} ${severity}`),
        [finds],
        JSON.stringify(causes, undefined, 1),
      );
      assert.match(causes[0]?.reason ?? '', says);
    });
  }

  test('the remedy takes away just what was planted', async () => {
    const plant = 'iptables-nft -A FORWARD -d 10.3.2.0/24 -j DROP';
    const [cause] = await lookWith(checkFirewall, { plant });
    // As a person copies it, with the comment behind it.
    assert.match(cause?.remedy ?? '', /^iptables-nft -t filter -D FORWARD/);
    assert.deepEqual(await lookWith(checkFirewall, { plant: `${plant}; ${cause?.remedy}` }), []);
  });
});
