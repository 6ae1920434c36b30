/** The second part: what stops packets between two ports of a bridge, and what lets them pass. */
import { Ip } from '../../../base/ip.ts';
import { followPacket } from '../../scenario/follow.ts';
import { answered, counts, sees, unanswered } from '../../scenario/judges.ts';
import type { ScenarioStep } from '../../scenario/scenario.ts';
import { NS1, NS2, pingFromNs1 } from './addresses.ts';

/** Chain, packets and bytes of `iptables -nvL FORWARD`. */
const DROPPED = /^Chain FORWARD \(policy DROP (\d+) packets/m;

export const FIREWALL_STEPS: readonly ScenarioStep[] = [
  {
    id: 'docker-state',
    title: 'Bring the host into the state that Docker leaves',
    why:
      'dockerd loads br_netfilter and sets the policy of FORWARD to DROP. br_netfilter hands IP packets that only ' +
      'cross a bridge to iptables, as if the host routed them. The walkthrough is done on such a host, so the ' +
      'lab must be one. (modprobe may fail: where the next command works, br_netfilter is there already.)',
    on: 'vm1',
    commands: [
      // It may be built in, and then there is no module.
      { line: 'modprobe br_netfilter', mayFail: true, quiet: true },
      'sysctl -w net.bridge.bridge-nf-call-iptables=1',
      'iptables -P FORWARD DROP',
      'sysctl -w net.ipv4.ip_forward=0',
      'iptables -S FORWARD',
    ],
    checks: [
      {
        expected: 'the policy of FORWARD is DROP',
        command: 'iptables -S FORWARD',
        judge: sees(/^-P FORWARD DROP/m),
      },
    ],
    key: true,
  },
  {
    id: 'stopped',
    title: 'Ping from ns1 to ns2',
    why:
      'The ping is lost, although ns1 has learned the MAC address of ns2: its ARP request was flooded to all ports ' +
      'of the bridge, and ns2 has answered. So cables, ports and addresses are right. ARP passes and IP does not.',
    on: 'vm1',
    commands: [pingFromNs1(NS2), `ip -n ns1 neighbor show ${NS2} dev veth1`],
    checks: [
      { expected: 'ns2 does not answer the ping', judge: unanswered },
      {
        expected: 'ns2 has answered the ARP request',
        command: `ip -n ns1 neighbor show ${NS2} dev veth1`,
        judge: sees(/^192\.168\.2\.11 lladdr/m),
      },
    ],
  },
  {
    id: 'cause',
    title: 'Find out who drops it',
    why:
      'There is no need to guess. The policy of FORWARD counts what it drops; and a mark on one packet makes the kernel ' +
      'tell which rules it meets. It comes in by mybridge and is to go out by mybridge: no rule accepts it, so the ' +
      'policy drops it. ARP is no IP, and iptables never sees it.',
    on: 'vm1',
    commands: [{ line: 'iptables -nvL FORWARD' }],
    act: stage =>
      followPacket(stage, {
        on: 'vm1',
        packet: { protocol: 'icmp', source: Ip.parse(NS1), destination: Ip.parse(NS2) },
        sentBy: { on: 'vm1', line: pingFromNs1(NS2).line },
      }),
    equivalent: [
      'nft add table ip look',
      "nft add chain ip look first '{ type filter hook prerouting priority -301; }'",
      `nft add rule ip look first ip daddr ${NS2} meta l4proto icmp meta nftrace set 1`,
      'nft monitor trace &',
      `ip netns exec ns1 ping -c 1 ${NS2}`,
      'nft delete table ip look',
    ],
    checks: [
      {
        expected: 'the policy of FORWARD has dropped packets',
        judge: counts(DROPPED, count => count > 0, 'packets'),
      },
      {
        expected: 'the traced packet is forwarded between ports of mybridge',
        judge: sees(/^forward, in mybridge, out mybridge$/m),
      },
      { expected: 'and ends at the policy of FORWARD', judge: sees(/^ {2}filter FORWARD: policy drop$/m) },
    ],
  },
  {
    id: 'proof',
    title: 'Prove it by the opposite',
    why:
      'When br_netfilter leaves bridged packets alone, the same ping passes, with the same policy. So it is this ' +
      'pair that stops it. (To leave br_netfilter off is no remedy: Docker needs it to keep its networks apart.)',
    on: 'vm1',
    commands: [
      'sysctl -w net.bridge.bridge-nf-call-iptables=0',
      pingFromNs1(NS2),
      'sysctl -w net.bridge.bridge-nf-call-iptables=1',
    ],
    checks: [{ expected: 'without br_netfilter ns2 answers', judge: answered }],
  },
  {
    id: 'remedy',
    title: 'Accept what the bridge forwards, and forward at all',
    why:
      'Two rules accept packets that come from the bridge or go to it; a host of containers needs both directions. ' +
      'ip_forward=1 makes the host a router, without which nothing goes from the bridge to eth0.',
    on: 'vm1',
    commands: [
      'iptables -A FORWARD -i mybridge -j ACCEPT',
      'iptables -A FORWARD -o mybridge -j ACCEPT',
      'sysctl -w net.ipv4.ip_forward=1',
      'iptables -S FORWARD',
    ],
    checks: [
      {
        expected: 'packets from the bridge are accepted',
        judge: sees(/^-A FORWARD -i mybridge -j ACCEPT/m),
      },
      { expected: 'and those to it', judge: sees(/^-A FORWARD -o mybridge -j ACCEPT/m) },
    ],
    key: true,
  },
  {
    id: 'passes',
    title: 'Ping from ns1 to ns2 again',
    why: 'The same packet as before now meets a rule that accepts it, and the rule counts it.',
    on: 'vm1',
    commands: [pingFromNs1(NS2), 'iptables -nvL FORWARD'],
    checks: [
      { expected: 'ns2 answers ns1', judge: answered },
      {
        expected: 'the first of the rules has accepted it',
        judge: counts(/^ +(\d+) .*ACCEPT .* mybridge +\* /m, count => count > 0, 'packets'),
      },
    ],
  },
];
