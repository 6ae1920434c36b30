/** The third part: the way to another host, and back. */
import { answered, sees, unanswered } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep, Stage } from '../../scenario/scenario.ts';
import { OUTSIDE, pingFromNs1 } from './addresses.ts';

/** What arrives at the outside host: its first frame of ICMP over IPv4 (IPv6 speaks by itself), looked for in the background under this name. */
const captureAs = (background: string): CommandSpec => ({
  line: 'tulle capture eth0 --numeric --count 1 --filter "ipv4 and icmp"',
  on: 'outside',
  background,
  ready: /^capturing on/m,
});

/** The frame that was captured, without the time. */
async function captured(stage: Stage, background: string): Promise<string> {
  const text = await stage.finish(background, /echo request/);
  const [, frame = text] = /^[\d:.]+ (.* ICMP .*)$/m.exec(text) ?? [];
  return frame;
}

export const WORLD_STEPS: readonly ScenarioStep[] = [
  {
    id: 'no-way-back',
    title: 'Ping the outside world',
    why:
      'The request arrives: the capture on the other host shows it, with the address of ns1 as its source. That host ' +
      'has no route to 192.168.2.0/24, a network that exists inside of vm1 only, so it cannot answer.',
    on: 'vm1',
    commands: [
      captureAs('before'),
      pingFromNs1(OUTSIDE),
      { line: 'ip route get 192.168.2.10', on: 'outside', mayFail: true },
    ],
    act: stage => captured(stage, 'before'),
    checks: [
      { expected: 'no reply comes back', judge: unanswered },
      {
        expected: 'the request has arrived, from 192.168.2.10',
        judge: sees(/192\.168\.2\.10 > 192\.168\.65\.4.*echo request/),
      },
      { expected: 'the outside host has no way back', judge: sees(/Network is unreachable/) },
    ],
  },
  {
    id: 'masquerade',
    title: 'Let packets leave with the address of the host',
    why:
      'MASQUERADE replaces the source by the address of the link that the packet leaves by. `! -o mybridge` leaves ' +
      'alone what stays in the network. Docker adds just this rule for each of its networks.',
    on: 'vm1',
    commands: [
      'iptables -t nat -A POSTROUTING -s 192.168.2.0/24 ! -o mybridge -j MASQUERADE',
      'iptables -t nat -S POSTROUTING',
    ],
    checks: [
      { expected: 'the rule is there', judge: sees(/-A POSTROUTING -s 192\.168\.2\.0\/24 .*MASQUERADE/) },
    ],
    key: true,
  },
  {
    id: 'way-back',
    title: 'Ping the outside world again',
    why:
      'To the outside host it is vm1 that asks, and it answers vm1. There the connection is remembered (conntrack), ' +
      'and the reply gets the address of ns1 back as its destination.',
    on: 'vm1',
    commands: [captureAs('after'), pingFromNs1(OUTSIDE)],
    act: stage => captured(stage, 'after'),
    checks: [
      { expected: 'the outside world answers', judge: answered },
      {
        expected: 'it has seen the address of vm1',
        judge: sees(/192\.168\.65\.3 > 192\.168\.65\.4.*echo request/),
      },
    ],
  },
];
