/** Question (a): why does arping get no answer from a container on another host? */
import { answered, lacks, sees } from '../../scenario/judges.ts';
import type { Judge, ScenarioStep } from '../../scenario/scenario.ts';

/** Packets that flannel.88 had to send and had no destination for. */
const DROPPED = /TX:.*\n\s*\d+\s+\d+\s+\d+\s+(\d+)/;
const COUNTERS = 'ip -s link show dev flannel.88';

/** Of `ip -s link`, the lines about what was sent. */
const sentOnly = (output: string) => output.slice(output.indexOf('    TX:'));

const asksForC2: Judge = (output, stage) =>
  sees(new RegExp(`docker0: .*Request who-has ${stage.known['C2'] ?? ''}`))(output, stage);

export const ARPING_STEPS: readonly ScenarioStep[] = [
  {
    id: 'subnets',
    title: 'Look at the two containers',
    why:
      'Each host has leased a subnet of its own and gives its containers addresses of it. So the two containers are in ' +
      'different subnets.',
    on: 'docker1',
    commands: [
      { line: 'ip -4 -brief address show dev eth0', on: 'docker1/c1', remember: { C1: /([\d.]+)\/24/ } },
      { line: 'ip -4 -brief address show dev eth0', on: 'docker2/c1', remember: { C2: /([\d.]+)\/24/ } },
      {
        line: 'ip -4 -brief address show dev flannel.88',
        on: 'docker2',
        remember: { BASE2: /([\d.]+)\/32/ },
      },
    ],
  },
  {
    id: 'ping',
    title: 'Ping across the hosts',
    why:
      'The ping works. The TTL began at 64 and is 62: two routers, docker1 and docker2, have passed the packet on. It was ' +
      'routed, not switched.',
    on: 'docker1/c1',
    commands: ['ping -c 1 $C2', 'ip neighbor show'],
    checks: [
      { expected: 'the other container answers', judge: answered },
      { expected: 'two routers are on the way', judge: sees(/ttl=62/) },
      {
        expected: 'c1 has resolved the MAC address of its gateway, not of the other container',
        command: 'ip neighbor show',
        judge: lacks(/^188\.172\.\d+\.2 /m, 'only the gateway'),
      },
    ],
  },
  {
    id: 'arping',
    title: '(a) Ask the other container by ARP',
    why:
      'An ARP request is a broadcast frame. It reaches all ports of the bridge docker0 and ends there: flannel.88 is not ' +
      'a port of docker0. Only packets that docker1 routes get to flannel.88, and a router does not pass on broadcasts.',
    on: 'docker1',
    commands: [
      {
        line: 'tcpdump -lni docker0 arp or icmp',
        background: 'docker0',
        ready: /listening on/,
      },
      {
        // The agents ask each other with echoes of their own.
        line: 'tcpdump -lni flannel.88 arp or icmp and host $C2',
        background: 'flannel.88',
        ready: /listening on/,
      },
      { line: 'busybox arping -c 2 -w 2 -I eth0 $C2', on: 'docker1/c1', mayFail: true },
      { line: 'ping -c 1 -W 2 $C2', on: 'docker1/c1', quiet: true },
    ],
    act: async stage => {
      const texts = await Promise.all(
        ['docker0', 'flannel.88'].map(async link => {
          // What was sent before the ping has been printed before it.
          const text = await stage.finish(link, /echo reply/);
          // On docker0 each kernel also asks now and then whether its neighbors are still there.
          const asked = link === 'docker0' ? `who-has ${stage.known['C2'] ?? ''} ` : ' ARP, ';
          const frames = text.split('\n').filter(line => line.includes(asked) || line.includes(' ICMP '));
          return frames.map(line => `${link}: ${line.replace(/^[\d:.]+ /, '')}`);
        }),
      );
      return texts.flat().join('\n');
    },
    checks: [
      { expected: 'arping gets no answer', judge: sees(/Received 0 response/) },
      { expected: 'the request was on docker0', judge: asksForC2 },
      { expected: 'no ARP was on flannel.88', judge: lacks(/^flannel\.88: ARP/m, 'no ARP') },
      { expected: 'the ping that followed was on flannel.88', judge: sees(/^flannel\.88: .*echo reply/m) },
    ],
  },
  {
    id: 'no-flooding',
    title: 'Send a broadcast on flannel.88 itself',
    why:
      'Even there it goes nowhere. The forwarding database (FDB) says to which host a frame for a MAC address is sent. The ' +
      'agent writes one entry per peer, and none for broadcasts: that would be the address 00:00:00:00:00:00. The kernel ' +
      'may not learn either (nolearning). A frame without an entry is dropped, and counted.',
    on: 'docker1',
    commands: [
      'bridge fdb show dev flannel.88',
      { line: COUNTERS, quiet: true, remember: { DROPPED } },
      { line: 'busybox arping -c 2 -w 2 -I flannel.88 $BASE2', mayFail: true },
      { line: COUNTERS, show: sentOnly },
    ],
    checks: [
      {
        expected: 'no FDB entry for unknown addresses',
        command: 'bridge fdb show dev flannel.88',
        judge: lacks(/^00:00:00:00:00:00/m, 'none'),
      },
      { expected: 'no answer', judge: sees(/Received 0 response/) },
      {
        expected: 'at least 2 more frames are dropped than before',
        command: COUNTERS,
        judge: (output, { known }) => {
          const more = Number(DROPPED.exec(output)?.[1]) - Number(known['DROPPED']);
          // IPv6 sends a frame to all now and then.
          return { seen: more >= 2 ? '2 or more' : String(more), passed: more >= 2 };
        },
      },
    ],
  },
];
