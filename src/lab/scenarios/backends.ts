/** The same two containers over udp, vxlan and host-gw: objects, overhead, MTU, and a measured comparison. */
import { uncoloured } from '../../console/fold.ts';
import { type Column, formatTable } from '../../console/table.ts';
import { finishCapture } from '../scenario/captured.ts';
import { checkOn, lacks, showsLike } from '../scenario/judges.ts';
import type {
  Check,
  CommandSpec,
  Found,
  Judge,
  Scenario,
  ScenarioStep,
  Stage,
} from '../scenario/scenario.ts';
import { type BackendWay, WAYS } from './backends/ways.ts';
import { earlierSubnet, HOSTS, onEach } from './leased-hosts.ts';

/** Of the underlay; a packet and what a backend adds to it fit exactly. */
const MTU = 1500;
/** Bytes of the headers of IPv4 and ICMP. */
const PING_HEADERS = 20 + 8;
/** Columns, beside the indentation of a step. */
const WIDTH = 77;
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
      'old; that takes a few seconds. The container has noted the largest packet of the old way for ten minutes, and ' +
      'should forget it.',
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
      `${headers[0]?.toUpperCase()}${headers.slice(1)}. With -M do the packet must not be cut into pieces; ${PING_HEADERS} bytes ` +
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
    act: stage => finishCapture(stage, capture),
    checks: [
      { expected: `a packet of ${mtu} bytes is answered`, judge: showsLike(`^${mtu - 20} bytes from .*ttl`) },
      { expected: `it has ${MTU} bytes between the hosts`, judge: showsLike(`ipv4 .*length ${MTU}`) },
      { expected: `as ${backend} sends it`, judge: wire },
      { expected: refuser, judge: refusal },
    ],
  };
}

/** Names of what is remembered of a measurement: milliseconds, Mbit/s. */
const keysOf = (name: string) => {
  const key = name.toUpperCase().replaceAll(/[^A-Z]/g, '_');
  return { rtt: `RTT_${key}`, rate: `RATE_${key}` };
};

/** Echoes and a transfer to an address. */
function measurement(name: string, from: string, to: string, into = ''): CommandSpec[] {
  const { rtt, rate } = keysOf(name);
  return [
    {
      line: `${into}iperf3 --server --one-off --forceflush`,
      on: 'docker2',
      background: `iperf3-${name}`,
      ready: /Server listening/,
    },
    {
      line: `ping -c ${ECHOES} -i 0.005 ${to}`,
      on: from,
      show: text => /^rtt .* ms/m.exec(text)?.[0] ?? text,
      remember: { [rtt]: /= [\d.]+\/([\d.]+)\// },
    },
    {
      line: `iperf3 --client ${to} --bytes ${TRANSFER} --interval 0 --format m`,
      on: from,
      show: text => /^.* sender$/m.exec(text)?.[0] ?? text,
      remember: { [rate]: /([\d.]+) Mbits\/sec.* sender/ },
    },
  ];
}

/** From container to container, and at once from host to host: the machine may have other work a moment later. */
const measure = ({ backend }: BackendWay): ScenarioStep => ({
  id: `measure-${backend}`,
  title: `${backend}: measure`,
  why:
    'Echoes, and a transfer over TCP: first between the hosts themselves, which is the limit, then between the ' +
    'containers.',
  on: 'docker1',
  commands: [
    ...measurement(`${backend}-host`, 'docker1', '192.168.65.4'),
    ...measurement(backend, 'docker1/c1', '$IP2', 'ip netns exec c1 '),
  ],
  checks: [
    { expected: 'all echoes are answered', judge: twoWholeRuns },
    { expected: 'both transfers are complete', judge: twice(/ 256 MBytes .* sender/g) },
  ],
});

/** What the last measurement shows in addition. */
const COMPARISON = {
  title: 'host-gw: measure, and compare the three',
  why:
    'x is the ratio to host to host in the same step. These are figures of one run, on a machine that may have other ' +
    'work; `tulle bench datapath` measures in rounds. udp pays for a process on each host, vxlan for a second way ' +
    'through the network stack, host-gw for a bridge and a route.',
  act: comparison,
};

/** For the last answer ping waits only as long as between two requests, whatever its options say: the others are judged. */
const twoWholeRuns: Judge = output => {
  const runs = output.split(/^PING /m).slice(1);
  const whole = runs.filter(run => {
    const answered = new Set(
      Array.from(run.matchAll(/icmp_seq=(\d+) ttl=/g), ([, number]) => Number(number)),
    );
    answered.delete(ECHOES);
    return answered.size === ECHOES - 1;
  });
  return { seen: `${whole.length} of 2`, passed: whole.length === 2 };
};

const twice =
  (pattern: RegExp): Judge =>
  output => {
    const count = [...output.matchAll(pattern)].length;
    return { seen: `${count} of 2`, passed: count === 2 };
  };

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
      HOSTS.map(({ host, address, gateway: bridge }) => {
        const links = [{ segment: 'underlay', address }];
        return [host, { links, forwarding: true, bridge, containers: ['c1'] }];
      }),
    ),
    store: { on: 'docker1', kind: 'tulle' },
    network: { Network: '188.172.0.0/16', Backend: { Type: 'udp' } },
  },
  programs: { iperf3: 'iperf3', pgrep: 'procps' },
  steps: [
    {
      id: 'begin',
      title: 'Two hosts, one container each, and the backend udp',
      why:
        'The store has the configuration already. Each agent asks for the subnet in the file of an earlier run, which is ' +
        'written by hand here. The subnets stay the same all the time. The links of the containers take 1500 bytes, as ' +
        "Docker's do unless it is told FLANNEL_MTU: so the hosts must say what fits.",
      on: 'docker1',
      commands: [
        'tulle config get',
        ...onEach(({ gateway }) => earlierSubnet(gateway, 1472)),
        ...onEach(({ host }) => ({
          line: 'tulle agent --etcd-endpoints=http://192.168.65.3:2379 --iface=eth0 --ip-masq',
          background: `agent-${host}`,
          ready: /the agent is ready/,
        })),
        ...onEach(({ host, number }) => ({
          on: `${host}/c1`,
          line: 'ip -4 address show dev eth0',
          remember: { [`IP${number}`]: /([\d.]+)\/24/, [`NET${number}`]: /(\d+\.\d+\.\d+)\.\d+\/24/ },
        })),
      ],
      checks: [
        { expected: 'the backend is udp', judge: showsLike('"Type": *"udp"') },
        { expected: 'the link of a container takes 1500 bytes', judge: showsLike('mtu 1500') },
        ...HOSTS.map(({ host, peer }) => ({
          ...checkOn(
            host,
            `ip route show $NET${peer}.0/24`,
            'a route to the other',
            showsLike('dev flannel0'),
          ),
          within: 30,
        })),
      ],
      key: true,
    },
    ...WAYS.flatMap((way, index) => {
      const before = WAYS[index - 1];
      const objects = { id: way.backend, on: 'docker1', ...way.objects };
      const isLast = index === WAYS.length - 1;
      const steps = [objects, fit(way), { ...measure(way), ...(isLast && COMPARISON) }];
      return before === undefined ? steps : [change(way, before), ...steps];
    }),
  ],
};

/** A row for each way, with its ratios to host to host. */
async function comparison({ known }: Stage): Promise<Found> {
  const valuesOf = (name: string) => {
    const { rtt, rate } = keysOf(name);
    return { rtt: Number(known[rtt]), rate: Number(known[rate]) };
  };
  const rows = WAYS.map(({ backend, overhead }) => {
    const [own, host] = [valuesOf(backend), valuesOf(`${backend}-host`)];
    return {
      backend,
      mtu: MTU - overhead,
      overhead,
      rttMs: own.rtt,
      rttToHost: own.rtt / host.rtt,
      mbitPerSecond: own.rate,
      rateToHost: own.rate / host.rate,
    };
  });
  const columns: Column<(typeof rows)[number]>[] = [
    { title: 'backend', cell: ({ backend }) => backend },
    { title: 'MTU', cell: ({ mtu }) => `${mtu}` },
    { title: 'bytes more', cell: ({ overhead }) => `${overhead}` },
    { title: 'echo', cell: ({ rttMs, rttToHost }) => `${rttMs.toFixed(3)} ms, x ${rttToHost.toFixed(1)}` },
    {
      title: 'TCP',
      cell: ({ mbitPerSecond, rateToHost }) =>
        `${(mbitPerSecond / 1000).toFixed(1)} Gbit/s, x ${rateToHost.toFixed(2)}`,
    },
  ];
  return { text: uncoloured(formatTable(columns, rows, WIDTH)), data: rows };
}
