/** Recorded events of this kernel (test/vectors/netlink/reply-trace-*) as hops, and as a person reads them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseVector } from '../../../test/support/netlink-vector.ts';
import { NFT_MSG_TRACE } from '../../netlink/netfilter/constants.ts';
import { nftablesType } from '../../netlink/netfilter/header.ts';
import { decodeTraceEvent, type TraceEvent } from '../../netlink/netfilter/trace-event.ts';
import { type PacketTrace, traceOf } from './hops.ts';
import { type ListedChain, parseRuleset, Ruleset } from './ruleset.ts';
import { traceLines } from './text.ts';

const DIRECTORY = join(import.meta.dirname, '../../../test/vectors/netlink');

function recorded(name: string): TraceEvent[] {
  const { messages } = parseVector(readFileSync(join(DIRECTORY, `${name}.txt`), 'utf8'));
  return messages
    .filter(({ message }) => message.type === nftablesType(NFT_MSG_TRACE))
    .map(({ message }) => decodeTraceEvent(message.payload) ?? assert.fail('a trace event'));
}

interface Recording {
  readonly events: readonly TraceEvent[];
  readonly chains: readonly ListedChain[];
  readonly ownTable?: string;
  readonly isCut?: boolean;
}

const trace = ({ events, chains, ownTable = 'none', isCut = false }: Recording): PacketTrace =>
  traceOf(events, {
    rules: new Ruleset(chains),
    ownTable,
    isCut,
    linkName: index => (index === 1 ? 'lo' : `link ${index}`),
  }) ?? assert.fail('a trace');

const DROP = parseRuleset(`table ip t { # handle 1
	chain first { # handle 1
		type filter hook output priority -300; policy accept;
		ip daddr 127.0.0.9 meta nftrace set 1 # handle 2
	}

	chain sub { # handle 3
		counter # handle 4
	}

	chain other { # handle 5
		return # handle 6
	}

	chain in { # handle 7
		type filter hook input priority 0; policy drop;
		jump sub # handle 8
		goto other # handle 9
	}
}
`);

const NAT: readonly ListedChain[] = [
  ...parseRuleset(`table inet m { # handle 1
	chain output { # handle 1
		type filter hook output priority -301; policy accept;
	}
	chain input { # handle 3
		type filter hook input priority 2147483646; policy accept;
	}
}`),
  {
    family: 'ip',
    table: 'nat',
    name: 'OUTPUT',
    base: { type: 'nat', hook: 'output', priority: -100, policy: 'accept' },
    rules: [{ handle: 3n, text: 'fib daddr type local jump DOCKER', iptables: '-m addrtype -j DOCKER' }],
  },
  { family: 'ip', table: 'nat', name: 'DOCKER', rules: [{ handle: 4n, text: 'dnat to 127.0.0.8:80' }] },
  {
    family: 'ip',
    table: 'filter',
    name: 'INPUT',
    base: { type: 'filter', hook: 'input', priority: 0, policy: 'accept' },
    rules: [],
  },
];

describe('the hops of a packet', () => {
  test('a jump, the end of a chain, a goto, a return, and the policy that drops it', () => {
    const { hops, end } = trace({ events: recorded('reply-trace-drop'), chains: DROP });
    assert.deepEqual(
      hops.map(({ hook, chain, kind, verdict, target = '', rule }) =>
        [hook, chain, kind, verdict, target, rule?.text ?? ''].join(' ').trim(),
      ),
      [
        'output first rule continue  ip daddr 127.0.0.9 meta nftrace set 1',
        'output first policy accept',
        'input in rule jump sub jump sub',
        'input sub rule continue  counter',
        'input sub end continue',
        'input in rule goto other goto other',
        'input other rule return  return',
        'input in policy drop',
      ],
    );
    assert.deepEqual(
      hops.map(({ input, output, policy }) => [input, output, policy]),
      [
        [undefined, 'lo', undefined],
        [undefined, 'lo', 'accept'],
        ...Array(5).fill(['lo', undefined, undefined]),
        ['lo', undefined, 'drop'],
      ],
    );
    assert.equal(end.kind, 'dropped');
    assert.equal(end.kind === 'dropped' && end.hop, hops.at(-1));
  });

  test('a translation is at the rule that made it, and our own table is no hop', () => {
    const { packet, hops, end } = trace({ events: recorded('reply-trace-nat'), chains: NAT, ownTable: 'm' });
    assert.equal(`${packet.destination}:${packet.destinationPort}`, '127.0.0.9:10080');
    assert.deepEqual(
      hops.map(({ table, chain, state }) => [table, chain, state]),
      [
        ['nat', 'OUTPUT', 'new'],
        ['nat', 'DOCKER', 'new'],
        ['filter', 'INPUT', 'new'],
        ['filter', 'INPUT', 'new'],
      ],
    );
    const translated = hops.map(hop => hop.translated && `${hop.translated.destination}`);
    assert.deepEqual(translated, [undefined, '127.0.0.8', undefined, undefined]);
    assert.deepEqual(
      [end.kind, `${end.packet.destination}:${end.packet.destinationPort}`],
      ['delivered', '127.0.0.8:80'],
    );
  });

  test('without a word from our last chains the packet is lost after the hook it was seen at', () => {
    const events = recorded('reply-trace-nat').filter(({ chain }) => chain !== 'input');
    const { end } = trace({ events, chains: NAT, ownTable: 'm' });
    assert.deepEqual([end.kind, end.kind === 'lost' && end.after], ['lost', 'input']);
  });

  test('what was cut says so; without headers there is no packet', () => {
    const events = recorded('reply-trace-nat').slice(0, 5);
    assert.equal(trace({ events, chains: NAT, ownTable: 'm', isCut: true }).end.kind, 'cut');
    const options = { rules: new Ruleset([]), ownTable: 'm', isCut: false, linkName: String };
    assert.equal(traceOf(events.slice(1, 3), options), undefined);
  });

  test('a rule that is gone has its handle only', () => {
    const events = recorded('reply-trace-drop');
    const { hops } = trace({ events, chains: DROP.map(chain => ({ ...chain, rules: [] })) });
    assert.deepEqual(hops[0]?.rule, { handle: 2n });
    assert.match(traceLines(trace({ events, chains: [] })).join('\n'), /^  t first: rule with handle 2$/m);
  });

  test('IPv6 is read as well', () => {
    const { packet, end } = trace({ events: recorded('reply-trace-ipv6'), chains: [] });
    assert.deepEqual([`${packet.destination}`, packet.protocol, end.kind], ['::1', 'icmpv6', 'dropped']);
  });
});

test('a trace for a person', () => {
  assert.deepEqual(traceLines(trace({ events: recorded('reply-trace-nat'), chains: NAT, ownTable: 'm' })), [
    `tcp 127.0.0.1:${portOf('reply-trace-nat')} -> 127.0.0.9:10080`,
    'output, out lo',
    '  nat OUTPUT: -m addrtype -j DOCKER => jump DOCKER',
    '  nat DOCKER: dnat to 127.0.0.8:80 => accept',
    '    destination becomes 127.0.0.8:80',
    'input, in lo',
    '  filter INPUT: rule with handle 2',
    '  filter INPUT: policy accept',
    `delivered to this host: tcp 127.0.0.1:${portOf('reply-trace-nat')} -> 127.0.0.8:80`,
  ]);
});

/** The port that the recorded program was given. */
function portOf(name: string): number {
  const [first] = recorded(name);
  return new DataView(first?.transportHeader?.buffer ?? assert.fail('headers')).getUint16(0);
}
