/** Policy rules: which table is asked at all. */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { host } from '../step.ts';
import { addRule, dropTable } from './rules.ts';

const place = 'rule' as const;
const on = 'host' as const;
const named = { here: ['POLICY_RULE'], there: ['POLICY_RULE'] };

/** A rule that asks table 51 first, in which a default route leads to nobody. */
const divert = (selector: (scene: Scene) => string) => ({
  plant: (scene: Scene) => [
    host(`ip route add default via ${scene.nobody} dev ${scene.host.uplink} table 51`),
    host(`ip rule add ${selector(scene)} lookup 51 pref 51`),
  ],
  mend: (scene: Scene) => [
    host(`ip rule delete ${selector(scene)} lookup 51 pref 51`),
    host('ip route flush table 51'),
  ],
});

export const RULE_FAULTS: readonly Fault[] = [
  {
    name: 'rule-source',
    place,
    on,
    title: 'a rule sends the containers out by another gateway',
    story:
      'The containers were to have an uplink of their own, and the table of it knows no other hosts. By hand: `ip rule`, then ' +
      '`ip route get PEER from CONTAINER iif docker0`.',
    effect: 'all',
    ...divert(({ host: { subnet } }) => `from ${subnet}`),
    finds: named,
  },
  {
    name: 'rule-everything',
    place,
    on,
    title: 'a VPN has its table asked before the main one',
    story:
      'As wg-quick does: a rule for all packets without its mark. `ip route` looks as ever. By hand: `ip rule` has a line before ' +
      '32766.',
    effect: 'all',
    ...divert(() => 'not fwmark 0xca6c'),
    finds: {
      here: ['POLICY_RULE', 'UNDERLAY_ROUTE'],
      there: ['POLICY_RULE', 'UNDERLAY_ROUTE', 'UNDERLAY_SILENT'],
    },
  },
  {
    name: 'rule-prohibit',
    place,
    on,
    title: "a rule prohibits the peer's containers",
    story:
      'The kernel answers "Packet filtered" although no firewall has a rule. By hand: `ip rule` says prohibit.',
    effect: 'all',
    plant: ({ peer: { subnet } }) => [host(`ip rule add to ${subnet} prohibit pref 60`)],
    mend: ({ peer: { subnet } }) => [host(`ip rule delete to ${subnet} prohibit pref 60`)],
    finds: named,
  },
  {
    name: 'rule-device',
    place,
    on,
    title: 'a rule for what comes from the bridge discards it',
    story:
      '`ip route get PEER` is right, because it asks for the host itself; packets of containers come from docker0. By hand: add ' +
      '`from CONTAINER iif docker0`.',
    effect: 'all',
    plant: ({ host: { bridge } }) => [host(`ip rule add iif ${bridge} blackhole pref 61`)],
    mend: ({ host: { bridge } }) => [host(`ip rule delete iif ${bridge} blackhole pref 61`)],
    finds: named,
  },
  {
    name: 'rule-mark',
    place,
    on,
    title: 'a firewall marks the packets, and a rule diverts the mark',
    story:
      'Two halves, each harmless alone: a mark in mangle, and a rule for the mark. By hand: `ip rule` says fwmark, and `nft list ' +
      'ruleset` who sets it.',
    effect: 'all',
    plant: scene => [
      addRule(
        'host',
        { family: 'ip', table: 'marks', hook: 'prerouting priority mangle + 5' },
        `iifname "${scene.host.bridge}" meta mark set 0x99`,
      ),
      ...divert(() => 'fwmark 0x99').plant(scene),
    ],
    mend: scene => [
      ...divert(() => 'fwmark 0x99').mend(scene),
      dropTable('host', { family: 'ip', table: 'marks' }),
    ],
    finds: named,
  },
  {
    name: 'rule-main-gone',
    place,
    on,
    title: 'the main table is not asked any more',
    story:
      'A script deleted one rule too many. `ip route` shows all routes, and nothing is routed. By hand: `ip rule` has two lines.',
    effect: 'all',
    plant: () => [host('ip rule delete lookup main pref 32766')],
    mend: () => [host('ip rule add lookup main pref 32766')],
    finds: {
      here: ['POLICY_RULE', 'UNDERLAY_ROUTE'],
      there: ['POLICY_RULE', 'UNDERLAY_ROUTE', 'UNDERLAY_SILENT'],
    },
  },
];
