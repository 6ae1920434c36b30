import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SysError } from '../../sys/errors.ts';
import type { RunResult } from '../../sys/process.ts';
import { parseRuleset, type RunOnHost, readRulesOf } from './ruleset.ts';

const LISTING = `table ip nat { # handle 1
	map ports { # handle 9
		type inet_service : ipv4_addr
		elements = { 80 : 10.0.0.1,
			     81 : 10.0.0.2 }
	}

	chain DOCKER { # handle 1
		iifname != "docker0" tcp dport 10080 counter dnat to 172.17.0.2:80 # handle 4
	}

	chain PREROUTING { # handle 2
		type nat hook prerouting priority -100; policy accept;
		fib daddr type local counter jump DOCKER # handle 3
		tcp dport { 1, 2, 3,
			    4 } accept # handle 5
	}
}
table netdev guard { # handle 2
	chain in { # handle 1
		type filter hook ingress device "eth0" priority 5; policy drop;
		ip saddr 10.0.0.0/8 comment "# handle 7" drop # handle 6
	}
}
`;

const SAVED = `*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 10080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
`;

const said = (stdout: string, status = 0, stderr = ''): RunResult => ({ status, stdout, stderr });

/** A host with these programs; the others are not installed. */
const host =
  (programs: Readonly<Record<string, RunResult>>): RunOnHost =>
  program => {
    const result = programs[program];
    return result === undefined
      ? Promise.reject(new SysError('spawn', 2, { path: program }))
      : Promise.resolve(result);
  };

describe('a listing of nft', () => {
  test('chains with their hook, and rules by handle; sets are no rules', () => {
    assert.deepEqual(parseRuleset(LISTING), [
      {
        family: 'ip',
        table: 'nat',
        name: 'DOCKER',
        rules: [{ handle: 4n, text: 'iifname != "docker0" tcp dport 10080 counter dnat to 172.17.0.2:80' }],
      },
      {
        family: 'ip',
        table: 'nat',
        name: 'PREROUTING',
        base: { type: 'nat', hook: 'prerouting', priority: -100, policy: 'accept' },
        rules: [
          { handle: 3n, text: 'fib daddr type local counter jump DOCKER' },
          { handle: 5n, text: 'tcp dport { 1, 2, 3, 4 } accept' },
        ],
      },
      {
        family: 'netdev',
        table: 'guard',
        name: 'in',
        base: { type: 'filter', hook: 'ingress', priority: 5, policy: 'drop', devices: ['eth0'] },
        rules: [{ handle: 6n, text: 'ip saddr 10.0.0.0/8 comment "# handle 7" drop' }],
      },
    ]);
    assert.deepEqual(parseRuleset(''), []);
  });
});

describe('the rules of a host', () => {
  test('have the words of iptables where it made them', async () => {
    const rules = await readRulesOf(host({ nft: said(LISTING), 'iptables-nft-save': said(SAVED) }));
    const [rule] = rules.chain('ip', 'nat', 'DOCKER')?.rules ?? [];
    assert.equal(
      rule?.iptables,
      '! -i docker0 -p tcp -m tcp --dport 10080 -j DNAT --to-destination 172.17.0.2:80',
    );
    // One rule of this chain is not of iptables, so that no place is sure.
    assert.ok(rules.chain('ip', 'nat', 'PREROUTING')?.rules.every(one => one.iptables === undefined));
  });

  test('have those of nft where there is no iptables, or it cannot read them', async () => {
    for (const programs of [
      { nft: said(LISTING) },
      {
        nft: said(LISTING),
        'iptables-nft-save': said('', 127),
        'iptables-save': said('', 1, 'incompatible'),
      },
    ]) {
      const rules = await readRulesOf(host(programs));
      assert.ok(rules.chains.every(chain => chain.rules.every(one => one.iptables === undefined)));
    }
  });

  test('without nft, or when it refuses, is an error that says so', async () => {
    await assert.rejects(readRulesOf(host({})), { name: 'TraceError', code: 'NO_PROGRAM' });
    await assert.rejects(readRulesOf(host({ nft: said('', 1, 'Operation not permitted\n') })), {
      code: 'REFUSED',
      message: 'nft list ruleset: Operation not permitted',
    });
  });
});
