/** What stands in the way of our jumps, and what does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { rulesFor } from '../rules.ts';
import { FORWARD_OVERLAY_HOOK, isAcceptedByOthers, isBlocked, isInputGuarded, TUNNEL_HOOK } from './hooks.ts';
import { parseSave } from './saved.ts';

const WANTED = rulesFor(
  {
    nftables: false,
    blocks: [
      {
        network: Prefix.parse('10.3.0.0/16'),
        subnet: Prefix.parse('10.3.5.0/24'),
        devices: ['flannel.88'],
        bridges: ['docker0'],
      },
    ],
    masquerade: true,
    forward: true,
    randomFully: false,
    tunnel: {
      link: 'eth0',
      ports: [4789],
      own: [Ip.parse('192.0.2.1')],
      peers: [Ip.parse('192.0.2.2')],
      isOpened: true,
    },
  },
  'ipv4',
);

/** Table filter with these chains besides the built-in ones. */
const filter = (rules: readonly string[], policy = 'ACCEPT', chains: readonly string[] = []) =>
  parseSave(
    [
      '*filter',
      `:INPUT ${policy} [0:0]`,
      ':FORWARD ACCEPT [0:0]',
      ...chains.map(name => `:${name} - [0:0]`),
      ...rules,
      'COMMIT',
    ].join('\n'),
  );

test('a rule that stops packets of either direction is in the way of the overlay', () => {
  const blocked = (rule: string, ...chains: string[]) =>
    isBlocked(filter([rule], 'ACCEPT', chains), FORWARD_OVERLAY_HOOK, WANTED);
  assert.equal(blocked('-A FORWARD -i docker0 -j DROP'), true);
  assert.equal(blocked('-A FORWARD -i flannel.88 -j DROP'), true);
  assert.equal(blocked('-A FORWARD -i eth1 -j DROP'), false);
  assert.equal(blocked('-A FORWARD -i docker0 -j ACCEPT'), false);
});

test('what is in a chain of ours is repaired, not avoided', () => {
  const rules = (chain: string) => [`-A FORWARD -j ${chain}`, `-A ${chain} -i docker0 -j DROP`];
  const blocked = (chain: string) =>
    isBlocked(filter(rules(chain), 'ACCEPT', [chain]), FORWARD_OVERLAY_HOOK, WANTED);
  assert.equal(blocked('GUARD'), true);
  assert.equal(blocked('FLANNEL-FWD'), false);
});

test('INPUT is guarded by its policy, by a last rule, or by a rule about the tunnel', () => {
  assert.equal(isInputGuarded(filter([]), TUNNEL_HOOK, WANTED), false);
  assert.equal(isInputGuarded(filter([], 'DROP'), TUNNEL_HOOK, WANTED), true);
  assert.equal(isInputGuarded(filter(['-A INPUT -j REJECT']), TUNNEL_HOOK, WANTED), true);
  assert.equal(
    isInputGuarded(filter(['-A INPUT -p udp -m udp --dport 4789 -j DROP']), TUNNEL_HOOK, WANTED),
    true,
  );
  assert.equal(
    isInputGuarded(filter(['-A INPUT -p tcp -m tcp --dport 22 -j DROP']), TUNNEL_HOOK, WANTED),
    false,
  );
  const { tunnelIn: _, ...packets } = WANTED.packets;
  assert.equal(
    isInputGuarded(filter([], 'DROP'), TUNNEL_HOOK, { ...WANTED, packets }),
    false,
    'there is no tunnel',
  );
});

test('the tunnel is accepted when a rule of others accepts all peers, and not when only our own does', () => {
  const accepted = (...rules: string[]) =>
    isAcceptedByOthers(filter(rules, 'DROP', [TUNNEL_HOOK.chain]), TUNNEL_HOOK, WANTED);
  assert.equal(accepted(), false);
  assert.equal(accepted('-A INPUT -p udp -m udp --dport 4789 -j ACCEPT'), true);
  assert.equal(accepted('-A INPUT -s 192.0.2.0/24 -j ACCEPT'), true);
  assert.equal(accepted('-A INPUT -s 192.0.2.9/32 -j ACCEPT'), false);
  assert.equal(
    accepted(`-A INPUT -p udp -j ${TUNNEL_HOOK.chain}`, `-A ${TUNNEL_HOOK.chain} -j ACCEPT`),
    false,
  );
});
