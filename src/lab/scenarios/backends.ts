/** The same two containers over udp, vxlan and host-gw: objects, overhead, MTU, and a measured comparison (scenario S8). */
import { answered, lacks, sees, showsLike } from '../scenario/judges.ts';
import type { Check, CommandSpec, Scenario, ScenarioStep, Stage } from '../scenario/scenario.ts';
import { type BackendWay, WAYS } from './backends-ways.ts';

/** Of the underlay; a packet and what a backend adds to it fit exactly. */
const MTU = 1500;
/** Bytes of the headers of IPv4 and ICMP. */
const PING_HEADERS = 20 + 8;
/** Each measurement is as long as the others. */
const ECHOES = 200;
const TRANSFER = '256M';

/** The network as the backend is changed, and both hosts have followed. */
function change({ backend, config, device }: BackendWay, before: BackendWay): ScenarioStep {
  const hosts = ['docker1', 'docker2'];
  return {
    id: `to-${backend}`,
    title: `Change the network from ${before.backend} to ${backend}`,
    why:
      'The agents watch the configuration. Each makes what is new, waits until its peer has it too, and removes what is ' +
      'old. The container has noted the largest packet of the old way for ten minutes, and should forget it.',
    on: 'docker1',
    commands: [
      `tulle config set '{"Network":"188.172.0.0/16","Backend":${config}}'`,
      ...hosts.map(host => ({ line: 'ip route flush cache', on: `${host}/c1` })),
    ],
    equivalent: [`etcdctl put /coreos.com/network/config '{"Network":"188.172.0.0/16","Backend":${config}}'`],
    checks: hosts.flatMap((host, index): Check[] => [
      {
        expected: `${host} sends to the other over ${device ?? 'eth0'}`,
        command: { line: `ip route show $NET${2 - index}.0/24`, on: host },
        judge: showsLike(`dev ${device ?? 'eth0'}`),
        within: 30,
      },
      {
        expected: `${host} has removed ${before.device}`,
        command: { line: 'ip -brief link', on: host },
        judge: lacks(new RegExp(`^${before.device} `), 'it is gone'),
        within: 30,
      },
    ]),
    key: true,
  };
}

/** The longest packet, and one that is a byte longer. */
function fit({ backend, overhead, headers, wire, refuser, refusal }: BackendWay): ScenarioStep {
  const mtu = MTU - overhead;
  const ping = (payload: number) => `ping -c 1 -W 5 -M do -s ${payload} $IP2`;
  const capture = `capture-${backend}`;
  return {
    id: `mtu-${backend}`,
    title: `${backend}: ${overhead} bytes more, so ${mtu} fit`,
    why:
      `${headers[0]?.toUpperCase()}${headers.slice(1)}. -M do forbids to cut the packet into pieces; ${PING_HEADERS} bytes ` +
      `are the headers of the echo itself. Of a packet of ${mtu + 1} bytes the sender is told what fits.`,
    on: 'docker1/c1',
    commands: [
      {
        line: "tulle capture eth0 -n -v --count 1 --filter 'icmp and to $IP2'",
        on: 'docker2',
        background: capture,
        ready: /capturing on/,
      },
      { line: ping(mtu - PING_HEADERS), mayFail: true },
      { line: ping(mtu - PING_HEADERS + 1), mayFail: true },
    ],
    act: stage => stage.finish(capture),
    checks: [
      { expected: `a packet of ${mtu} bytes is answered`, judge: answered },
      { expected: `it has ${MTU} bytes between the hosts`, judge: showsLike(`ipv4 .*length ${MTU}`) },
      { expected: `as ${backend} sends it`, judge: wire },
      { expected: refuser, judge: refusal },
    ],
  };
}

/** Echoes and a transfer to an address; the values are remembered as `RTT_NAME` (milliseconds) and `RATE_NAME` (Mbit/s). */
function measurement(
  name: string,
  from: string,
  to: string,
  server: CommandSpec,
): Pick<ScenarioStep, 'commands' | 'checks'> {
  const key = name.toUpperCase().replace('-', '_');
  return {
    commands: [
      { ...server, on: 'docker2', background: `iperf3-${name}`, ready: /Server listening/ },
      {
        line: `ping -q -c ${ECHOES} -i 0.005 ${to}`,
        on: from,
        remember: { [`RTT_${key}`]: /= [\d.]+\/([\d.]+)\// },
      },
      {
        line: `iperf3 --client ${to} --bytes ${TRANSFER} --interval 0 --format m`,
        on: from,
        show: text =>
          text
            .split('\n')
            .filter(line => /sender|receiver/.test(line))
            .join('\n'),
        remember: { [`RATE_${key}`]: /([\d.]+) Mbits\/sec\s+receiver/ },
      },
    ],
    checks: [
      { expected: 'every echo is answered', judge: answered },
      { expected: 'the transfer is complete', judge: sees(/ 256 MBytes .*sender/) },
    ],
  };
}

const measure = ({ backend }: BackendWay): ScenarioStep => ({
  id: `measure-${backend}`,
  title: `${backend}: measure`,
  why: 'The time of an echo there and back, and a transfer over TCP, from container to container.',
  on: 'docker1/c1',
  ...measurement(backend, 'docker1/c1', '$IP2', {
    line: 'ip netns exec c1 iperf3 --server --one-off --forceflush',
  }),
});

export const SCENARIO: Scenario = {
  name: 'backends',
  title: 'Three ways across: udp, vxlan, host-gw',
  lesson:
    'How packets cross is one line of the configuration. A tunnel in user space works everywhere and costs the most, a ' +
    'tunnel in the kernel costs little, and no tunnel costs nothing but needs hosts on one link.',
  drawing: `
     docker1  192.168.65.3                     docker2  192.168.65.4
    +------------------------------+         +------------------------------+
    |  c1 --- docker0              |         |              docker0 --- c1  |
    |            |                 |         |                 |            |
    |         flannel0   -- udp -- process -- process --    flannel0        |
    |         flannel.88 -- vxlan  = = = = = = = = = = =    flannel.88      |
    |         (no device)   host-gw                         (no device)     |
    |            |                 |         |                 |            |
    |           eth0               |         |                eth0          |
    +------------|-----------------+         +-----------------|------------+
                 +------------- 192.168.65.0/24 ---------------+
`,
  topology: {
    segments: { underlay: { subnet: '192.168.65.0/24' } },
    hosts: Object.fromEntries(
      ['docker1', 'docker2'].map((name, index) => [
        name,
        {
          links: [{ segment: 'underlay', address: `192.168.65.${3 + index}` }],
          forwarding: true,
          agent: true,
          containers: ['c1'],
        },
      ]),
    ),
    store: { on: 'docker1', kind: 'tulle' },
    network: { Network: '188.172.0.0/16', Backend: { Type: 'udp' } },
  },
  programs: { iperf3: 'iperf3', pgrep: 'procps' },
  steps: [
    {
      id: 'begin',
      title: 'Two hosts, one container each',
      why: 'The network begins with the backend udp. Each host has leased a subnet, which stays the same all the time.',
      on: 'docker1',
      commands: [
        'tulle config get',
        ...[1, 2].map(number => ({
          line: 'ip -brief -4 address show dev eth0',
          on: `docker${number}/c1`,
          remember: { [`IP${number}`]: /([\d.]+)\/24/, [`NET${number}`]: /(\d+\.\d+\.\d+)\.\d+\/24/ },
        })),
      ],
      checks: [{ expected: 'the backend is udp', judge: sees(/"Type":\s*"udp"/) }],
    },
    {
      id: 'links',
      title: 'Let the containers send packets of 1500 bytes',
      why:
        'As Docker would without an option: then the hosts must say what fits. (Whoever starts Docker with FLANNEL_MTU has ' +
        'containers that know it from the beginning.)',
      on: 'docker1',
      commands: ['docker1', 'docker2'].flatMap(host => [
        { line: 'ip link set dev docker0 mtu 1500', on: host },
        { line: 'ip link set dev veth-c1 mtu 1500', on: host },
        { line: 'ip link set dev eth0 mtu 1500', on: `${host}/c1` },
      ]),
      checks: [
        {
          expected: 'the link of the container takes 1500 bytes',
          command: { line: 'ip link show dev eth0', on: 'docker1/c1' },
          judge: showsLike('mtu 1500'),
        },
      ],
      key: true,
    },
    ...WAYS.flatMap((way, index) => {
      const before = WAYS[index - 1];
      const objects = { id: way.backend, on: 'docker1', ...way.objects };
      return [...(before === undefined ? [] : [change(way, before)]), objects, fit(way), measure(way)];
    }),
    {
      id: 'compare',
      title: 'Compare them with the hosts themselves',
      why:
        'The same between the hosts, without containers: the limit. The figures are of this machine at this moment, one run ' +
        'each; `tulle bench datapath` measures in rounds. What stays the same anywhere: the order, and why.',
      on: 'docker1',
      ...measurement('host', 'docker1', '192.168.65.4', { line: 'iperf3 --server --one-off --forceflush' }),
      act: comparison,
    },
  ],
};

/** A row for each way, with its ratio to host to host. */
async function comparison({ known }: Stage): Promise<string> {
  const limit = { backend: 'host', overhead: 0, objects: '' };
  const valueOf = (name: string, backend: string) =>
    Number(known[`${name}_${backend.toUpperCase().replace('-', '_')}`]);
  const rows = [limit, ...WAYS].map(({ backend, overhead }) => {
    const [rtt, rate] = [valueOf('RTT', backend), valueOf('RATE', backend)];
    return [
      backend,
      `${MTU - overhead}`,
      `${overhead}`,
      `${rtt.toFixed(3)} ms`,
      `x ${(rtt / valueOf('RTT', 'host')).toFixed(1)}`,
      `${(rate / 1000).toFixed(1)} Gbit/s`,
      `x ${(rate / valueOf('RATE', 'host')).toFixed(2)}`,
    ];
  });
  const head = ['', 'MTU', 'bytes more', 'echo', '', 'TCP', ''];
  const widths = head.map((title, column) =>
    Math.max(...[head, ...rows].map(row => row[column]?.length ?? 0), title.length),
  );
  return [head, ...rows]
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
