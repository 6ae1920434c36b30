import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import { parseSave, readChains } from '../iptables/saved.ts';
import { follow } from './follow.ts';
import type { Packet } from './packet.ts';

const packet: Packet = {
  name: 'a ping',
  family: 'ipv4',
  source: [Prefix.parse('10.3.1.2/32')],
  destination: [Prefix.parse('10.3.2.2/32')],
  input: ['docker0'],
  output: ['flannel.88'],
  protocol: 'icmp',
  mark: 0,
  hostLength: 32,
};

const fate = (...rules: readonly string[]): string => fateOf(packet, rules);

function fateOf(packet: Packet, rules: readonly string[]): string {
  const text = [
    '*filter',
    ':FORWARD DROP [0:0]',
    ':OWN - [0:0]',
    ...rules.map(rule => `-A ${rule}`),
    'COMMIT',
  ];
  const chains = readChains(parseSave(text.join('\n')).get('filter') ?? new Map());
  const { end, isSure, stops } = follow(packet, chains, 'FORWARD');
  return [end, isSure ? 'sure' : 'unsure', ...stops.map(({ chain, rule }) => `${chain}: ${rule.text}`)].join(
    ' | ',
  );
}

test('what surely stops a packet, what may, and what lets it pass', () => {
  assert.equal(fate('FORWARD -p icmp -j DROP'), 'stopped | sure | FORWARD: -p icmp -j DROP');
  assert.equal(
    fate('FORWARD -s 10.3.1.2/32 -j REJECT'),
    'stopped | sure | FORWARD: -s 10.3.1.2/32 -j REJECT',
  );
  assert.equal(fate('FORWARD -p tcp -j DROP', 'FORWARD -s 10.9.0.0/16 -j DROP'), 'continue | sure');
  assert.equal(fate('FORWARD -d 10.3.0.0/16 -j ACCEPT', 'FORWARD -j DROP'), 'accept | sure');
  const random = '-m statistic --mode random --probability 0.5 -j DROP';
  assert.equal(fate(`FORWARD ${random}`), `continue | sure | FORWARD: ${random}`);
  assert.equal(
    fate('FORWARD -m set --match-set a src -j ACCEPT', 'FORWARD -j DROP'),
    'stopped | unsure | FORWARD: -j DROP',
  );
});

test('chains are followed, and come back', () => {
  assert.equal(fate('FORWARD -j OWN', 'OWN -i docker0 -j DROP'), 'stopped | sure | OWN: -i docker0 -j DROP');
  assert.equal(fate('FORWARD -j OWN', 'OWN -j RETURN', 'OWN -j DROP'), 'continue | sure');
  assert.equal(fate('FORWARD -g OWN', 'FORWARD -j ACCEPT'), 'continue | sure');
  assert.equal(
    fate('FORWARD -m limit --limit 1/sec -j OWN', 'OWN -j DROP'),
    'continue | sure | OWN: -j DROP',
  );
});

test('a rule about the first packets of connections applies to those, and its opposite to the rest', () => {
  const connection: Packet = { ...packet, protocol: 'tcp' };
  const syn = '--tcp-flags FIN,SYN,RST,ACK SYN';
  const drop = `FORWARD -p tcp -m tcp ${syn} -j DROP`;
  assert.equal(fateOf(connection, [drop]), `stopped | sure | FORWARD: -p tcp -m tcp ${syn} -j DROP`);
  assert.equal(
    fateOf(connection, [`FORWARD -p tcp -m tcp ! ${syn} -m state --state NEW -j DROP`]),
    'continue | sure',
  );
  // Of other flags nothing is known.
  assert.doesNotMatch(
    fateOf(connection, ['FORWARD -p tcp -m tcp --tcp-flags RST RST -j DROP']),
    /^stopped \| sure/,
  );
});

test('whether a packet is for the host itself', () => {
  const drop = 'FORWARD -m addrtype --dst-type LOCAL -j DROP';
  const others = 'FORWARD -m addrtype ! --dst-type LOCAL -j DROP';
  assert.match(fateOf({ ...packet, isForHost: true }, [drop]), /^stopped \| sure/);
  assert.equal(fateOf({ ...packet, isForHost: false }, [drop]), 'continue | sure');
  assert.match(fateOf({ ...packet, isForHost: false }, [others]), /^stopped \| sure/);
  // Who does not know it cannot say.
  assert.match(fateOf(packet, [drop]), /^continue \| sure \| FORWARD/);
  assert.doesNotMatch(
    fateOf({ ...packet, isForHost: true }, ['FORWARD -m addrtype --dst-type BROADCAST -j DROP']),
    /^stopped \| sure/,
  );
});
