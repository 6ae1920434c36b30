/** Limits that are reached, and queues that drop. Those of conntrack and of the neighbor table are the machine's, so that no lab can reach them. */
import type { Fault } from '../fault.ts';
import type { Scene } from '../scene.ts';
import { host } from '../step.ts';
import { ruleFault } from './rules.ts';

const place = 'limit' as const;
const on = 'host' as const;

const queue = (kind: string, args: string) => ({
  what: `queueing discipline ${kind}`,
  attempt: ['sh', '-c', `ip link add left type bridge && tc qdisc add dev left root ${kind} ${args}`.trim()],
});

export const LIMIT_FAULTS: readonly Fault[] = [
  {
    name: 'rate-limit',
    place,
    on,
    title: 'a rule lets a few packets a second pass',
    story:
      'Meant for ICMP or SYN floods, written for everything. One ping passes, a download crawls. By hand: `ping -f` or `nft list ' +
      'ruleset` says limit rate over.',
    effect: 'some',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'inet', table: 'shaper', hook: 'forward priority mangle' }),
      ({ network }) => `ip daddr ${network} limit rate over 4/second burst 2 packets counter drop`,
    ),
    finds: { here: ['RATE_LIMIT', 'FIREWALL_DROP'], there: ['RATE_LIMIT', 'FIREWALL_DROP'] },
  },
  {
    name: 'random-drop',
    place,
    on,
    title: 'a rule drops every third packet',
    story:
      'Somebody tested how an application takes losses, and forgot the rule. By hand: `ping` loses a third, `nft list ruleset` ' +
      'says numgen.',
    effect: 'some',
    ...ruleFault<Scene>(
      'host',
      () => ({ family: 'inet', table: 'chaos', hook: 'forward priority mangle' }),
      ({ network }) => `ip daddr ${network} numgen random mod 3 0 counter drop`,
    ),
    finds: { here: ['RATE_LIMIT', 'FIREWALL_DROP'], there: ['RATE_LIMIT', 'FIREWALL_DROP'] },
  },
  {
    name: 'queue-blackhole',
    place,
    on,
    title: 'the queue of the tunnel drops everything',
    story:
      'The queueing discipline blackhole, of a test or of a broken traffic shaper. iptables and routes are right. By hand: ' +
      '`tc -s qdisc show dev flannel.88` counts dropped.',
    effect: 'all',
    kernel: queue('blackhole', ''),
    plant: ({ host: { tunnel } }) => [host(`tc qdisc replace dev ${tunnel} root blackhole`)],
    mend: ({ host: { tunnel } }) => [host(`tc qdisc delete dev ${tunnel} root`)],
    finds: { here: ['TC_DROP'], there: ['TC_DROP'] },
  },
  {
    name: 'queue-container',
    place,
    on: 'container',
    title: 'the queue to one container drops everything',
    story: 'The same at the port of a container. By hand: `tc -s qdisc` on the host.',
    effect: 'all',
    kernel: queue('blackhole', ''),
    plant: ({ container: { hostLink } }) => [host(`tc qdisc replace dev ${hostLink} root blackhole`)],
    mend: ({ container: { hostLink } }) => [host(`tc qdisc delete dev ${hostLink} root`)],
    finds: { here: ['TC_DROP'], there: ['TC_DROP'] },
  },
  {
    name: 'queue-shaper',
    place,
    on,
    title: 'a shaper on the uplink holds one packet',
    story:
      'The bandwidth of the uplink was limited, and the queue of the shaper made too short: a packet alone passes, and of several at ' +
      'once some are dropped. By hand: `tc -s qdisc show dev eth0` says tbf and counts dropped.',
    effect: 'some',
    kernel: queue('tbf', 'rate 8kbit burst 1kb latency 1ms'),
    plant: ({ host: { uplink } }) => [
      host(`tc qdisc replace dev ${uplink} root tbf rate 200kbit burst 2kb limit 3000`),
    ],
    mend: ({ host: { uplink } }) => [host(`tc qdisc delete dev ${uplink} root`)],
    finds: { here: ['TC_DROP', 'RATE_LIMIT'], there: ['TC_DROP', 'RATE_LIMIT'] },
  },
];
