/** The second part: single packets, followed through the hooks. */
import { Ip } from '../../../base/ip.ts';
import type { PacketSelector } from '../../../inspect/trace/packet.ts';
import { followPacket } from '../../scenario/follow.ts';
import { lacks, sees } from '../../scenario/judges.ts';
import type { Judge, ScenarioStep, Stage } from '../../scenario/scenario.ts';
import { agreesWithTheRules } from './rules.ts';

const HOST = '192.168.65.3';
const CLIENT = '192.168.65.4';

const wget = (address: string) => `busybox wget -q -O - http://${address}:10080/`;

const requestTo = (address: string): PacketSelector => ({
  protocol: 'tcp',
  destination: Ip.parse(address),
  destinationPort: 10080,
});

const follow = (stage: Stage, from: string, address: string, packet: PacketSelector): Promise<string> =>
  followPacket(stage, { on: 'docker1', packet, sentBy: { on: from, line: wget(address) } });

/** The hooks and chains of the trace, each named once, in this order; others may be between them. */
const passesInOrder =
  (...wanted: readonly string[]): Judge =>
  output => {
    const places = output.split('\n').flatMap(line => /^ {2}(\w+ [\w-]+):/.exec(line)?.[1] ?? []);
    const distinct = places.filter((place, index) => place !== places[index - 1]);
    let at = 0;
    for (const place of distinct) if (place === wanted[at]) at++;
    return { seen: distinct.join(', '), passed: at === wanted.length };
  };

/** How one would do it by hand on docker1. */
const byHand = (match: string, hook: 'prerouting' | 'output', send: string) => [
  'nft add table ip look',
  `nft add chain ip look first '{ type filter hook ${hook} priority -301; }'`,
  `nft add rule ip look first ${match} meta nftrace set 1`,
  'nft monitor trace &',
  send,
  'nft delete table ip look',
];

const ON_CLIENT = `# on client: ${wget(HOST)}`;

export const TRACE_STEPS: readonly ScenarioStep[] = [
  {
    id: 'from-outside',
    title: 'Follow the first packet of a request from outside',
    why:
      'The packet is marked, and the kernel tells which rules apply to it. It comes in by eth0 for an address of docker1. ' +
      'Before the route is looked up, DOCKER changes the destination; so the route leads out of docker0, and the packet ' +
      'is forwarded instead of delivered. The rules of FORWARD see the new destination.',
    on: 'docker1',
    act: stage => follow(stage, 'client', HOST, requestTo(HOST)),
    equivalent: byHand('tcp dport 10080', 'prerouting', ON_CLIENT),
    checks: [
      {
        expected: 'it comes in by eth0',
        judge: sees(/^tcp 192\.168\.65\.4:\d+ -> 192\.168\.65\.3:10080, in eth0$/m),
      },
      {
        expected: 'its destination becomes the container',
        judge: sees(/^ +destination becomes 172\.17\.0\.2:80$/m),
      },
      {
        expected: 'nat PREROUTING, nat DOCKER, filter FORWARD, DOCKER-USER, DOCKER, in this order',
        judge: passesInOrder(
          'nat PREROUTING',
          'nat DOCKER',
          'filter FORWARD',
          'filter DOCKER-USER',
          'filter DOCKER',
        ),
      },
      { expected: 'DOCKER accepts it', judge: sees(/^ {2}filter DOCKER: .* => accept$/m) },
      { expected: 'it leaves by docker0', judge: sees(/^sent, out docker0: .* -> 172\.17\.0\.2:80$/m) },
      {
        expected: 'the trace is what the rules say',
        judge: agreesWithTheRules({ source: CLIENT, destination: HOST, port: 10080, input: 'eth0' }),
      },
    ],
  },
  {
    id: 'reply',
    title: 'Follow the reply',
    why:
      'No chain of the table nat is asked: NAT is decided with the first packet of a connection. The kernel remembers the ' +
      'connection (conntrack) and puts the address of the host back as the source, so that the client gets its reply ' +
      'from the address that it has asked.',
    on: 'docker1',
    act: stage =>
      follow(stage, 'client', HOST, {
        protocol: 'tcp',
        source: Ip.parse(stage.known['CONTAINER'] ?? ''),
        sourcePort: 80,
        destination: Ip.parse(CLIENT),
      }),
    equivalent: byHand('tcp sport 80', 'prerouting', ON_CLIENT),
    checks: [
      { expected: 'it comes in by docker0', judge: sees(/^tcp 172\.17\.0\.2:80 -> .*, in docker0$/m) },
      { expected: 'no chain of nat is asked', judge: lacks(/^ {2}nat /m, 'none') },
      {
        expected: 'its source becomes the host again',
        judge: sees(/^ +source becomes 192\.168\.65\.3:10080/m),
      },
      { expected: 'it leaves by eth0', judge: sees(/^sent, out eth0: tcp 192\.168\.65\.3:10080 -> /m) },
    ],
  },
  {
    id: 'from-the-host',
    title: 'Follow a request of the host to its own address',
    why:
      'What the host itself sends does not pass PREROUTING and FORWARD. It begins at OUTPUT, which sends it to the same ' +
      'chain DOCKER. The route was to the host itself by lo; with the new destination it is looked up again, and leads ' +
      'out of docker0. (iptables makes a chain in the kernel with its first rule or policy; the policy is set to what it ' +
      'is, so that filter OUTPUT is there to be seen.)',
    on: 'docker1',
    commands: ['iptables -P OUTPUT ACCEPT'],
    act: stage => follow(stage, 'docker1', HOST, requestTo(HOST)),
    equivalent: byHand('tcp dport 10080', 'output', wget(HOST)),
    checks: [
      {
        expected: 'its destination becomes the container',
        judge: sees(/^ +destination becomes 172\.17\.0\.2:80$/m),
      },
      {
        expected: 'nat OUTPUT, nat DOCKER, filter OUTPUT, nat POSTROUTING, in this order',
        judge: passesInOrder('nat OUTPUT', 'nat DOCKER', 'filter OUTPUT', 'nat POSTROUTING'),
      },
      { expected: 'it is not forwarded', judge: lacks(/^forward/m, 'no hook forward') },
      { expected: 'it leaves by docker0', judge: sees(/^sent, out docker0: .* -> 172\.17\.0\.2:80$/m) },
      {
        expected: 'the trace is what the rules say',
        judge: agreesWithTheRules({ source: HOST, destination: HOST, port: 10080 }),
      },
    ],
  },
  {
    id: 'loopback',
    title: 'Follow a request to 127.0.0.1',
    why:
      'The rule of OUTPUT leaves 127.0.0.0/8 out, because a packet with a source of 127.0.0.1 must not leave the host. So ' +
      'no rule changes this packet, and it arrives on port 10080 of the host, where docker-proxy listens: a program of ' +
      'Docker that copies the bytes over a connection of its own to the container. (With "userland-proxy": false there ' +
      'is no docker-proxy; OUTPUT then leaves nothing out, and route_localnet lets the packet out by docker0.)',
    on: 'docker1',
    commands: ["ss -Hltnp 'sport = :10080'"],
    act: stage => follow(stage, 'docker1', '127.0.0.1', requestTo('127.0.0.1')),
    equivalent: byHand('tcp dport 10080', 'output', wget('127.0.0.1')),
    checks: [
      { expected: 'docker-proxy listens on the port', judge: sees(/:10080 .*docker-pr/m) },
      { expected: 'no rule changes the destination', judge: lacks(/becomes/, 'it stays 127.0.0.1:10080') },
      {
        expected: 'it is delivered to a program of this host',
        judge: sees(/^delivered to this host: tcp 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:10080$/m),
      },
      {
        expected: 'the trace is what the rules say',
        judge: agreesWithTheRules({ source: '127.0.0.1', destination: '127.0.0.1', port: 10080 }),
      },
      {
        expected: 'the page comes all the same',
        command: { line: wget('127.0.0.1'), mayFail: true },
        judge: sees(/^hello$/m),
      },
    ],
  },
];
