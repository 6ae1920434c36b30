/** Question (d): what about the MTU? */
import { lacks, sees } from '../../scenario/judges.ts';
import type { CommandSpec, ScenarioStep } from '../../scenario/scenario.ts';

/** Bytes of the IPv4 and the ICMP header, which `ping -s` does not count. */
const HEADERS = 28;
/** Bytes of the ICMP header, which ping counts in an answer. */
const ICMP_HEADER = 8;

/** `do` sets DF: a packet that is too big may not be cut into fragments. */
const ping = (packet: number, fragments: 'do' | 'dont' = 'do'): CommandSpec => ({
  line: `ping -M ${fragments} -c 1 -W 2 -s ${packet - HEADERS} $C2`,
  on: 'docker1/c1',
  mayFail: true,
  show: output => output.replace(/\n\n--- .*\n/, '\n').replace(/\nrtt .*/, ''),
});

const passes = (packet: number) => ({
  expected: `a packet of ${packet} bytes passes`,
  judge: sees(new RegExp(`^${packet - HEADERS + ICMP_HEADER} bytes from`, 'm')),
});

const refusedAtHome = {
  expected: "1501 bytes: c1's own kernel refuses, and sends nothing",
  judge: sees(/message too long, mtu=1500/),
};

interface Tunnel {
  readonly backend: string;
  /** Bytes: the largest packet that the backend carries over an Ethernet of 1500. */
  readonly mtu: number;
  readonly why: string;
}

/** Sizes tried over a backend that adds something to a packet. */
function tunnelStep({ backend, mtu, why }: Tunnel): ScenarioStep {
  return {
    id: `mtu-${backend}`,
    title: `Try 1501, 1500 and ${mtu} bytes over ${backend}`,
    why:
      `${why} A packet of 1500 bytes leaves the container, and then docker1, the router that knows the MTU of the tunnel, ` +
      'answers: "Frag needed". Without DF the same payload arrives: in fragments.',
    on: 'docker1',
    commands: [ping(1501), ping(1500), ping(mtu), ping(1501, 'dont')],
    checks: [
      refusedAtHome,
      {
        expected: '1500 bytes: docker1 answers with the size that fits',
        judge: sees(new RegExp(`^From 188\\.172\\.\\d+\\.1 .*Frag needed.*mtu = ${mtu}`, 'm')),
      },
      passes(mtu),
      { ...passes(1501), expected: '1501 bytes without DF arrive in fragments' },
    ],
  };
}

/** The network gets another backend, and the agents follow. */
function switchStep(backend: string, mtu: number): ScenarioStep {
  const config = { Network: '188.172.0.0/16', Backend: { Type: backend } };
  const route = backend === 'udp' ? /dev flannel0/ : /via 192\.168\.65\.\d dev eth0/;
  return {
    id: `switch-${backend}`,
    title: `Switch the network to ${backend}`,
    why: 'The agents follow the configuration while they run. The container has to forget the size that it was told before.',
    on: 'docker1',
    commands: [
      `tulle config set '${JSON.stringify(config)}'`,
      { line: 'ip route flush cache', on: 'docker1/c1' },
    ],
    checks: [
      ...['docker1', 'docker2'].map(on => ({
        expected: `${on} routes to the other subnet over ${backend}`,
        command: { line: 'ip route show proto 77', on },
        judge: sees(route),
        within: 30,
      })),
      {
        expected: 'new containers are to have the new MTU',
        command: 'cat /run/flannel/subnet.env',
        judge: sees(new RegExp(`^FLANNEL_MTU=${mtu}$`, 'm')),
        within: 30,
      },
    ],
  };
}

export const MTU_STEPS: readonly ScenarioStep[] = [
  {
    id: 'mtu-of-containers',
    title: '(d) Give the containers an MTU of 1500',
    why:
      'As on a Docker that was not told the MTU of the network (`--mtu`, from subnet.env): the container believes that ' +
      '1500 bytes pass. A payload of 1473 bytes makes a packet of 1501, with 20 of IPv4 and 8 of ICMP.',
    on: 'docker1',
    commands: ['docker1', 'docker2'].flatMap(on => [
      { line: 'ip link set dev docker0 mtu 1500', on },
      { line: 'ip link set dev veth-c1 mtu 1500', on },
      { line: 'ip link set dev eth0 mtu 1500', on: `${on}/c1` },
    ]),
    checks: [
      {
        expected: 'c1 believes in 1500',
        command: { line: 'ip link show dev eth0', on: 'docker1/c1' },
        judge: sees(/mtu 1500/),
      },
    ],
  },
  tunnelStep({
    backend: 'vxlan',
    mtu: 1450,
    why: 'VXLAN puts 50 bytes before a packet: IPv4 20, UDP 8, VXLAN 8, and 14 for the Ethernet header of the frame inside.',
  }),
  switchStep('udp', 1472),
  tunnelStep({
    backend: 'udp',
    mtu: 1472,
    why: 'The backend udp puts 28 bytes before a packet: IPv4 20 and UDP 8. It carries packets, not frames.',
  }),
  switchStep('host-gw', 1500),
  {
    id: 'mtu-host-gw',
    title: 'Try 1501 and 1500 bytes over host-gw',
    why: 'host-gw only routes. Nothing is put before the packet, so what the container may send also arrives.',
    on: 'docker1',
    commands: [ping(1501), ping(1500)],
    checks: [
      refusedAtHome,
      { expected: 'no router refuses', judge: lacks(/Frag needed/, 'none') },
      passes(1500),
    ],
  },
];
