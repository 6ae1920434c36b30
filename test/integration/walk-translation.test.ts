/** What the rules of a host make of the addresses of a packet, read on hosts with one kind of rules each. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Walk } from '../../src/api/walk.ts';
import { Ip } from '../../src/base/ip.ts';
import { forwardElement } from '../../src/firewall/ports/port-elements.ts';
import { portScript, portTableName } from '../../src/firewall/ports/port-table.ts';
import { walkHost } from '../../src/inspect/path/walk-host.ts';
import { needsRoot } from '../support/capabilities.ts';
import { readWith } from '../support/look-host.ts';

/** From the underlay to the host itself. */
const ASKING: Walk = {
  from: '192.168.65.9',
  to: '192.168.65.3',
  protocol: 'tcp',
  toPort: 8080,
  opens: true,
  carrier: { kind: 'plain', to: '192.168.65.3' },
};
/** From the host to a container of a peer. */
const OWN: Walk = { from: '192.168.65.3', to: '10.3.2.2', protocol: 'tcp', toPort: 80, opens: true };

const CHAIN = 'nft add table ip t; nft add chain ip t c';
const DNAT = `${CHAIN} '{ type nat hook prerouting priority -100 ; }'`;
const SNAT = `${CHAIN} '{ type nat hook postrouting priority 100 ; }'`;

interface Row {
  readonly plant: string;
  readonly walk?: Partial<Walk>;
  readonly becomes: Readonly<Record<string, unknown>> | undefined;
}

const rows: Readonly<Record<string, Row>> = {
  'a rule of iptables in a chain of its own': {
    plant: `iptables -t nat -N DOCKER
            iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
            iptables -t nat -A DOCKER -i docker0 -j RETURN
            iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.3.1.2:80`,
    becomes: { from: ASKING.from, to: '10.3.1.2', toPort: 80 },
  },
  'a rule of nftables': {
    plant: `${DNAT}; nft add rule ip t c fib daddr type local tcp dport 8080 dnat to 10.3.1.2:80`,
    becomes: { from: ASKING.from, to: '10.3.1.2', toPort: 80 },
  },
  'a rule for another port': {
    plant: `${DNAT}; nft add rule ip t c tcp dport 8081 dnat to 10.3.1.2:80`,
    becomes: undefined,
  },
  'a rule for packets that go elsewhere': {
    plant: `${DNAT}; nft add rule ip t c fib daddr type != local tcp dport 8080 dnat to 10.3.1.2:80`,
    becomes: undefined,
  },
  'a rule that only some packets meet': {
    plant: `${DNAT}; nft add rule ip t c numgen inc mod 2 0 tcp dport 8080 dnat to 10.3.1.2:80`,
    becomes: undefined,
  },
  'the rules for a later packet of a connection': {
    plant: `${DNAT}; nft add rule ip t c tcp dport 8080 dnat to 10.3.1.2:80`,
    walk: { opens: false },
    becomes: undefined,
  },
  'a masquerade': {
    plant: `${SNAT}; nft add rule ip t c ip daddr 10.3.0.0/16 masquerade`,
    walk: { ...OWN },
    becomes: { from: '10.3.1.0', to: OWN.to, toPort: 80 },
  },
  'a source of a rule of its own': {
    plant: 'iptables -t nat -A POSTROUTING -d 10.3.0.0/16 -j SNAT --to-source 192.0.2.7',
    walk: { ...OWN },
    becomes: { from: '192.0.2.7', to: OWN.to, toPort: 80 },
  },
  'a rule before it that keeps the source': {
    plant: `iptables -t nat -A POSTROUTING -s 192.168.65.3/32 -d 10.3.0.0/16 -j ACCEPT
            iptables -t nat -A POSTROUTING -j MASQUERADE`,
    walk: { ...OWN },
    becomes: undefined,
  },
  'a rule before it that keeps the source of some packets': {
    plant: `iptables -t nat -A POSTROUTING -m statistic --mode random --probability 0.5 -j ACCEPT
            iptables -t nat -A POSTROUTING -j MASQUERADE`,
    walk: { ...OWN },
    becomes: undefined,
  },
  'an answer: what connection tracking gives back': {
    plant: '',
    walk: {
      opens: false,
      from: '10.3.1.2',
      to: '192.168.65.3',
      restored: { from: '192.168.65.9', to: '10.3.2.2' },
    },
    becomes: { from: '192.168.65.9', to: '10.3.2.2', toPort: 8080 },
  },
};

describe('what a packet becomes', needsRoot, () => {
  for (const [name, { plant, walk, becomes }] of Object.entries(rows)) {
    test(name, async () => {
      const { carrier, ...own } = { ...ASKING, ...walk };
      const isIncoming = own.from !== OWN.from && carrier !== undefined;
      const asked = isIncoming ? { ...own, carrier } : own;
      const { translated, hops } = await readWith(host => walkHost(host, asked), { plant });
      assert.deepEqual(translated, becomes, JSON.stringify(hops));
      assert.equal(
        hops.some(({ layer }) => layer === 'nat'),
        becomes !== undefined,
      );
    });
  }

  test("a port of Tulle's own table, at one address or at any", async () => {
    const element = (hostIp: string | undefined, target: string) =>
      forwardElement({
        protocol: 'tcp',
        ...(hostIp !== undefined && { hostIp: Ip.parse(hostIp) }),
        hostPort: 8080,
        target: Ip.parse(target),
        targetPort: 80,
        comment: 'web',
      }).text;
    const elements = new Map([
      ['ip-any', [element(undefined, '10.3.1.2')]],
      ['ip-one', [element('192.168.65.3', '10.3.1.3')]],
    ]);
    const directory = mkdtempSync(join(tmpdir(), 'tulle-walk-'));
    try {
      const script = join(directory, 'ports.nft');
      writeFileSync(script, portScript(portTableName('/coreos.com/network'), elements));
      const at = async (to: string) => {
        const plant = `ip addr add 192.168.65.33/24 dev eth0\nnft -f ${script}`;
        const walk = { ...ASKING, to, carrier: { kind: 'plain', to } } as const;
        return (await readWith(host => walkHost(host, walk), { plant })).translated?.to;
      };
      assert.equal(await at('192.168.65.3'), '10.3.1.3');
      assert.equal(await at('192.168.65.33'), '10.3.1.2');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
