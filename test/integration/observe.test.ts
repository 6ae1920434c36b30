/** What becomes of the packets of a flow on two real hosts: where they are seen, what drops them, and which rule. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import type { Flow, Observation } from '../../src/api/inspection.ts';
import { parseInspectionAnswer } from '../../src/api/inspection-lines.ts';
import { Assembler } from '../../src/bpf/assembler.ts';
import { R0 } from '../../src/bpf/instructions.ts';
import { bpfObstacle } from '../../src/bpf/obstacle.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { LocalInspector } from '../../src/inspect/inspector/local-inspector.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { run, start } from '../../src/sys/process.ts';
import { readSysctl, writeSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot, requires } from '../support/capabilities.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import type { Namespace } from '../support/neighbourhood.ts';
import { type OverlayPair, overlayPair } from '../support/overlay-pair.ts';

const hasBpf = bpfObstacle() === undefined;
const NEAR = '10.5.1.2';
const SECOND = '10.5.1.3';
const FAR = '10.5.2.2';

let lastId = 4710;
const echo = (from: string, to: string): Flow => ({ from, to, protocol: 'icmp', id: ++lastId });

const inspectorOf = ({ netns }: Namespace) => new LocalInspector({ netns, socketPath: '/nonexistent' });

/**
 * Both hosts watch one echo of a container.
 *
 * @param patience seconds in which the answer must come, where there is one, and the packet have got to its end
 */
async function watchEcho(
  { near, far }: OverlayPair,
  to = FAR,
  from = NEAR,
  patience = 1,
): Promise<{ near: Observation; far: Observation }> {
  const flow = echo(from, to);
  const signal = deadline('an echo is observed');
  const inspectors = [near, far].map(({ host }) => inspectorOf(host));
  const [one, other] = await Promise.all(inspectors.map(inspector => inspector.observe(flow, signal)));
  assert.ok(one !== undefined && other !== undefined);
  await using _ = one;
  await using __ = other;
  await ping(near.container, to, flow.id ?? 0, patience);
  const [seenNear, seenFar] = await Promise.all([one.finish(), other.finish()]);
  return { near: seenNear, far: seenFar };
}

/** The same where it is answered. */
const watchAnswer = (pair: OverlayPair, to = FAR, from = NEAR) => watchEcho(pair, to, from, 20);

const ping = ({ namespaces }: Namespace, to: string, id: number, patience: number) =>
  run('ping', ['-c', '1', '-W', `${patience}`, '-e', `${id}`, to], { namespaces, anyStatus: true });

const lines = ({ sightings }: Observation): string[] =>
  sightings.map(({ packet, direction, link, encapsulated, translated, error }) =>
    [packet, direction, link, encapsulated && 'in a tunnel', translated, error].filter(Boolean).join(' '),
  );

const OUT_OF_NEAR = [
  'request in veth-c',
  'request in br0',
  'request out vx1',
  'request out eth0 in a tunnel',
];
const INTO_FAR = ['request in eth0 in a tunnel', 'request in vx1', 'request out br0', 'request out veth-c'];

const BRIDGED = ['request in veth-c', 'request out veth-d', 'reply in veth-d', 'reply out veth-c'];

interface Planted {
  readonly fault: string;
  readonly on: (pair: OverlayPair) => Namespace;
  readonly plant: readonly string[];
  readonly mend: readonly string[];
  /** What each host sees of the request, and of errors. */
  readonly near: readonly string[];
  readonly far: readonly string[];
  /** Which says it: `dropped inet guard c: ...`. */
  readonly verdict?: { readonly host: 'near' | 'far'; readonly text: string };
  /** `REASON` or `REASON in CONTAINER`. */
  readonly drop?: { readonly host: 'near' | 'far'; readonly text: RegExp };
}

const onNear = ({ near }: OverlayPair) => near.host;
const onFar = ({ far }: OverlayPair) => far.host;
const inFar = ({ far }: OverlayPair) => far.container;

/** A table of nftables with one chain and one rule. */
const guard = (family: string, hook: string, rule: string) => ({
  plant: [
    `nft add table ${family} guard`,
    `nft add chain ${family} guard c { type filter hook ${hook} ; }`,
    ...(rule === '' ? [] : [`nft add rule ${family} guard c ${rule}`]),
  ],
  mend: [`nft delete table ${family} guard`],
});

/** include/uapi/linux/pkt_cls.h. */
const TC_ACT_SHOT = 2;

const NETFILTER = /^NETFILTER_DROP/;
const FAULTS: readonly Planted[] = [
  {
    fault: 'a rule at a link of the far host',
    on: onFar,
    ...guard('netdev', 'ingress device eth0 priority 0', 'udp dport 8472 drop'),
    near: OUT_OF_NEAR,
    far: INTO_FAR.slice(0, 1),
    verdict: { host: 'far', text: 'request dropped netdev guard c: udp dport 8472 drop' },
    drop: { host: 'far', text: NETFILTER },
  },
  {
    fault: 'a rule before all others for the tunnel',
    on: onFar,
    ...guard('ip', 'prerouting priority -500', 'udp dport 8472 drop'),
    near: OUT_OF_NEAR,
    far: INTO_FAR.slice(0, 1),
    verdict: { host: 'far', text: 'request dropped ip guard c: udp dport 8472 drop' },
    drop: { host: 'far', text: NETFILTER },
  },
  {
    fault: 'INPUT for the tunnel',
    on: onFar,
    plant: ['iptables -A INPUT -p udp --dport 8472 -j DROP'],
    mend: ['iptables -F INPUT'],
    near: OUT_OF_NEAR,
    far: INTO_FAR.slice(0, 1),
    verdict: { host: 'far', text: 'request dropped ip filter INPUT: -p udp -m udp --dport 8472 -j DROP' },
    drop: { host: 'far', text: NETFILTER },
  },
  {
    fault: 'OUTPUT for the tunnel',
    on: onNear,
    ...guard('inet', 'output priority 0', 'udp dport 8472 drop'),
    near: OUT_OF_NEAR.slice(0, 3),
    far: [],
    verdict: { host: 'near', text: 'request dropped inet guard c: udp dport 8472 drop' },
    drop: { host: 'near', text: NETFILTER },
  },
  {
    fault: 'the policy of FORWARD',
    on: onFar,
    plant: ['iptables -P FORWARD DROP'],
    mend: ['iptables -P FORWARD ACCEPT'],
    near: OUT_OF_NEAR,
    far: INTO_FAR.slice(0, 2),
    verdict: { host: 'far', text: 'request dropped ip filter FORWARD: policy drop' },
    drop: { host: 'far', text: NETFILTER },
  },
  {
    fault: 'a rule behind all routing',
    on: onNear,
    ...guard('inet', 'postrouting priority 100', `ip daddr ${FAR} counter drop`),
    near: OUT_OF_NEAR.slice(0, 2),
    far: [],
    verdict: { host: 'near', text: `request dropped inet guard c: ip daddr ${FAR} counter drop` },
    drop: { host: 'near', text: NETFILTER },
  },
  {
    fault: 'iptables-legacy',
    on: onNear,
    plant: ['iptables-legacy -A FORWARD -p icmp -j REJECT'],
    mend: ['iptables-legacy -F FORWARD'],
    near: [
      ...OUT_OF_NEAR.slice(0, 2),
      'error out br0 port unreachable, from 10.5.1.1',
      'error out veth-c port unreachable, from 10.5.1.1',
    ],
    far: [],
    verdict: {
      host: 'near',
      text: 'request rejected iptables-legacy filter FORWARD: -p icmp -j REJECT --reject-with icmp-port-unreachable',
    },
  },
  {
    fault: "the container's own rules",
    on: inFar,
    ...guard('inet', 'input priority 0 ; policy drop', ''),
    near: OUT_OF_NEAR,
    far: INTO_FAR,
    verdict: { host: 'far', text: 'request dropped inet guard c: policy drop in the container' },
    drop: { host: 'far', text: /^NETFILTER_DROP in the container/ },
  },
  {
    fault: 'strict reverse path filtering',
    on: onFar,
    plant: ['sysctl -qw net.ipv4.conf.vx1.rp_filter=1', 'ip route add 10.5.1.2/32 dev eth0'],
    mend: ['sysctl -qw net.ipv4.conf.vx1.rp_filter=0', 'ip route del 10.5.1.2/32 dev eth0'],
    near: OUT_OF_NEAR,
    far: INTO_FAR.slice(0, 2),
    drop: { host: 'far', text: /^IP_RPFILTER/ },
  },
  {
    fault: 'a route that drops',
    on: onNear,
    plant: ['ip route add blackhole 10.5.2.2/32'],
    mend: ['ip route del blackhole 10.5.2.2/32'],
    near: OUT_OF_NEAR.slice(0, 2),
    far: [],
    drop: { host: 'near', text: /./ },
  },
  {
    fault: 'another VNI',
    on: onFar,
    plant: [
      'ip link add vx2 type vxlan id 2 dstport 8472 local 192.0.2.2 dev eth0',
      'ip link set vx2 up',
      'ip link set vx1 down',
    ],
    mend: [
      'ip link del vx2',
      'ip link set vx1 up',
      'ip route add 10.5.1.0/24 via 10.5.1.0 dev vx1 onlink',
      'ip neigh replace 10.5.1.0 lladdr 02:00:00:00:00:01 dev vx1 nud permanent',
    ],
    near: OUT_OF_NEAR,
    far: INTO_FAR.slice(0, 1),
    drop: { host: 'far', text: /^VXLAN_VNI_NOT_FOUND/ },
  },
];

const verdictsOf = ({ verdicts }: Observation) =>
  verdicts.map(
    ({ packet, end, chain, rule, container }) =>
      `${packet} ${end} ${chain}: ${rule}${container === undefined ? '' : ' in the container'}`,
  );
/** Does what is said to take the rule away: what is asked next meets it no more. */
async function takeAway(host: Namespace, { verdicts }: Observation): Promise<void> {
  const [verdict] = verdicts;
  assert.ok(verdict?.removal !== undefined, JSON.stringify(verdicts));
  await host.do(verdict.removal);
}
const dropsOf = ({ drops }: Observation) =>
  drops
    .filter(({ packet }) => packet === 'request')
    .map(({ reason, container }) => `${reason}${container === undefined ? '' : ' in the container'}`);

/** Programs that send one packet from port 40123, and end with the answer. */
const SENDERS = {
  tcp: (port: number) =>
    `require('net').connect({ host: '${FAR}', port: ${port}, localPort: 40123 }).on('error', () => process.exit())`,
  udp: (port: number) =>
    `const s = require('dgram').createSocket('udp4'); s.on('error', () => process.exit());
     s.bind(40123, () => s.connect(${port}, '${FAR}', () => s.send('x')));`,
};

const tablesOf = async ({ namespaces }: Namespace) =>
  (await run('nft', ['list', 'tables'], { namespaces })).stdout;

describe('an observation of two hosts', needsRoot, () => {
  test('of a healthy path: every link, there and back, and nothing else', async t => {
    const { near, far } = await watchAnswer(await overlayPair(t));
    assert.deepEqual(lines(near), [
      ...OUT_OF_NEAR,
      'reply in eth0 in a tunnel',
      'reply in vx1',
      'reply out br0',
      'reply out veth-c',
    ]);
    assert.deepEqual(lines(far), [
      ...INTO_FAR,
      'reply in veth-c',
      'reply in br0',
      'reply out vx1',
      'reply out eth0 in a tunnel',
    ]);
    for (const { drops, verdicts, silent, blind, sightings } of [near, far]) {
      assert.deepEqual({ drops, verdicts, silent }, { drops: [], verdicts: [], silent: [] });
      assert.deepEqual(blind, hasBpf ? [] : blind);
      assert.ok(sightings.every(({ count }) => count === 1));
    }
    assert.deepEqual(
      near.sightings.slice(0, 4).map(({ point }) => point),
      ['port', 'bridge', 'tunnel', 'uplink'],
    );
    assert.ok(far.counters.some(({ name, container }) => name === 'Icmp InEchos' && container !== undefined));
  });

  test('of IPv6 in IPv6: every link, the drop, the rule', async t => {
    const pair = await overlayPair(t, 'ipv6');
    const [from, to] = ['fd05:0:0:1::2', 'fd05:0:0:2::2'];
    const healthy = await watchAnswer(pair, to, from);
    assert.deepEqual(lines(healthy.far).slice(0, 4), INTO_FAR);
    assert.equal(lines(healthy.near).length + lines(healthy.far).length, 16);
    for (const { drops, verdicts, silent } of [healthy.near, healthy.far])
      assert.deepEqual({ drops, verdicts, silent }, { drops: [], verdicts: [], silent: [] });
    const bridged = await watchAnswer(pair, 'fd05:0:0:1::3', from);
    assert.deepEqual(lines(bridged.near), BRIDGED);
    assert.deepEqual(bridged.near.drops, []);

    await pair.far.host.do('ip6tables -A INPUT -p udp --dport 8472 -j DROP');
    const dropped = await watchEcho(pair, to, from);
    assert.deepEqual(lines(dropped.near), OUT_OF_NEAR);
    assert.deepEqual(lines(dropped.far), INTO_FAR.slice(0, 1));
    assert.deepEqual(verdictsOf(dropped.far), [
      'request dropped ip6 filter INPUT: -p udp -m udp --dport 8472 -j DROP',
    ]);
    await takeAway(pair.far.host, dropped.far);

    const { plant } = guard(
      'inet',
      'forward priority 0',
      'icmpv6 type echo-request reject with icmpv6 admin-prohibited',
    );
    await pair.far.host.do(...plant);
    const rejected = await watchEcho(pair, to, from);
    assert.deepEqual(verdictsOf(rejected.far), [
      'request rejected inet guard c: icmpv6 type echo-request reject with icmpv6 admin-prohibited',
    ]);
    assert.ok(
      lines(rejected.near).includes('error out veth-c administratively prohibited, from fd05:0:0:2::'),
      lines(rejected.near).join('\n'),
    );
    await takeAway(pair.far.host, rejected.far);
    assert.deepEqual(verdictsOf((await watchAnswer(pair, to, from)).far), []);

    const deaf = guard('inet', 'input priority 0', 'icmpv6 type nd-neighbor-solicit drop');
    await pair.far.container.do(...deaf.plant);
    // Its own question would tell the host who it is.
    await pair.far.container.do('ip -6 neigh flush dev eth0');
    await pair.far.host.do('ip -6 neigh flush dev br0');
    const silent = await watchEcho(pair, to, from);
    assert.deepEqual(
      silent.far.silent.map(({ address, link }) => `${address} at ${link}`),
      [`${to} at br0`],
    );
    assert.deepEqual(verdictsOf(silent.far), [
      'neighbor dropped inet guard c: icmpv6 type nd-neighbor-solicit drop in the container',
    ]);
  });

  test('of TCP and UDP, by the port that the sender chose', async t => {
    const pair = await overlayPair(t);
    const { plant } = guard('inet', 'input priority 0', 'tcp dport 81 reject with tcp reset');
    await pair.far.container.do(...plant);
    for (const [protocol, toPort] of [
      ['tcp', 81],
      ['udp', 9],
    ] as const) {
      const flow: Flow = { from: NEAR, to: FAR, protocol, fromPort: 40_123, toPort };
      const inspector = inspectorOf(pair.far.host);
      await using observation = await inspector.observe(flow, deadline('it is observed'));
      const code = SENDERS[protocol](toPort);
      await run(process.execPath, ['-e', code], { namespaces: pair.near.container.namespaces });
      const seen = await observation.finish();
      assert.deepEqual(lines(seen).slice(0, 4), INTO_FAR);
      if (protocol === 'tcp') {
        assert.ok(lines(seen).includes('reply in veth-c'), lines(seen).join('\n'));
        assert.deepEqual(verdictsOf(seen), [
          'request rejected inet guard c: tcp dport 81 reject with tcp reset in the container',
        ]);
      } else {
        assert.ok(
          lines(seen).includes(`error in veth-c port unreachable, from ${FAR}`),
          lines(seen).join('\n'),
        );
      }
    }
  });

  test('of a fault: the last link, the drop, the rule', async t => {
    const pair = await overlayPair(t);
    await watchEcho(pair);
    for (const planted of FAULTS) await t.test(planted.fault, () => seeFault(pair, planted));
    await t.test('and nothing is left behind', async () => {
      const { near, far } = await watchAnswer(pair);
      assert.equal(lines(near).length + lines(far).length, 16);
      for (const host of [pair.near.host, pair.far.host, pair.far.container])
        assert.doesNotMatch(await tablesOf(host), /tulle/);
    });
  });

  test('of a container that does not answer ARP, of rules for ARP, and of frames that are only bridged', async t => {
    const pair = await overlayPair(t);
    await pair.far.container.do('ip link set eth0 arp off');
    const silent = await watchEcho(pair);
    assert.deepEqual(lines(silent.far), INTO_FAR.slice(0, 2));
    assert.deepEqual(
      silent.far.silent.map(({ address, askedBy, link, point }) => ({ address, askedBy, link, point })),
      [{ address: FAR, askedBy: '10.5.2.1', link: 'br0', point: 'bridge' }],
    );
    await pair.far.container.do('ip link set eth0 arp on');

    const arp = guard('arp', 'output priority 0', `arp daddr ip ${FAR} drop`);
    await pair.far.host.do(...arp.plant, 'ip neigh flush dev br0');
    const dropped = await watchEcho(pair);
    assert.deepEqual(verdictsOf(dropped.far), [`neighbor dropped arp guard c: arp daddr ip ${FAR} drop`]);
    const neighbors = dropped.far.drops.filter(({ packet }) => packet === 'neighbor');
    assert.deepEqual([...new Set(neighbors.map(({ reason }) => reason))], hasBpf ? ['NETFILTER_DROP'] : []);

    // So that no rule of IP sees it.
    const netfilterOfBridges = 'net/bridge/bridge-nf-call-iptables';
    if (readSysctl(netfilterOfBridges, pair.near.host.netns) !== undefined)
      writeSysctl(netfilterOfBridges, '0', pair.near.host.netns);
    const { plant } = guard('bridge', 'forward priority 0', 'icmp type echo-request drop');
    await pair.near.host.do(...plant);
    const { near } = await watchEcho(pair, SECOND);
    assert.deepEqual(lines(near), ['request in veth-c']);
    assert.deepEqual(verdictsOf(near), ['request dropped bridge guard c: icmp type echo-request drop']);
  });

  test('of a translation: the rule, and the packet known again behind it', async t => {
    const pair = await overlayPair(t);
    await pair.near.host.do(`iptables -t nat -A POSTROUTING -s ${NEAR} -o vx1 -j MASQUERADE`);
    const { near, far } = await watchAnswer(pair);
    assert.deepEqual(verdictsOf(near), [
      `request translated ip nat POSTROUTING: -s ${NEAR}/32 -o vx1 -j MASQUERADE`,
    ]);
    assert.ok(lines(far).includes(`request out veth-c 10.5.1.0 -> ${FAR}`), lines(far).join('\n'));
    assert.ok(lines(near).includes('reply out veth-c'), lines(near).join('\n'));
  });

  test('of a program at a link', requires(hasBpf, bpfObstacle() ?? ''), async t => {
    const pair = await overlayPair(t);
    const { netns } = pair.far.host;
    const instructions = new Assembler().move(R0, TC_ACT_SHOT).exit().finish();
    using program = BpfProgram.load({ type: 'traffic control', name: 'tulle_test', instructions });
    await using route = connectRoute({ netns });
    const link = (await route.links.list()).find(({ name }) => name === 'vx1')?.index ?? 0;
    using _ = netns.run(() => program.attachToLink(link, 'tcx ingress'));
    const { far } = await watchEcho(pair);
    assert.deepEqual(lines(far), INTO_FAR.slice(0, 2));
    assert.deepEqual(dropsOf(far), ['TC_INGRESS']);
    const { id } = program.info();
    assert.deepEqual(far.drops[0]?.programs, [`tulle_test (id ${id}) at the ingress of vx1`]);
  });

  test('does not disturb another one at the same time', async t => {
    const pair = await overlayPair(t);
    const { plant } = guard('inet', 'forward priority 0', `ip daddr ${FAR} drop`);
    await pair.far.host.do(...plant);
    const [one, other] = await Promise.all([watchEcho(pair), watchEcho(pair)]);
    for (const { far } of [one, other]) {
      assert.deepEqual(lines(far), INTO_FAR.slice(0, 2));
      assert.deepEqual(verdictsOf(far), [`request dropped inet guard c: ip daddr ${FAR} drop`]);
    }
  });
});

async function seeFault(pair: OverlayPair, planted: Planted): Promise<void> {
  const { on, plant, mend, verdict, drop } = planted;
  await on(pair).do(...plant);
  try {
    const seen = await watchEcho(pair);
    assert.deepEqual(lines(seen.near), planted.near);
    assert.deepEqual(lines(seen.far), planted.far);
    if (verdict !== undefined) {
      assert.deepEqual(verdictsOf(seen[verdict.host]), [verdict.text]);
      if (seen[verdict.host].verdicts[0]?.removal !== undefined) {
        await takeAway(pair[verdict.host].host, seen[verdict.host]);
        assert.deepEqual(verdictsOf((await watchAnswer(pair))[verdict.host]), []);
      }
    }
    if (drop !== undefined && hasBpf) {
      const drops = dropsOf(seen[drop.host]);
      assert.ok(
        drops.some(text => drop.text.test(text)),
        `want ${drop.text} in ${JSON.stringify(seen)}`,
      );
    }
  } finally {
    await on(pair).do(...mend);
  }
}

describe('tulle inspector', needsRoot, () => {
  /** Runs it with these lines as its whole input. */
  const ask = ({ namespaces }: Namespace, input: string) =>
    run(TULLE, ['inspector', '--socket', '/nonexistent'], {
      namespaces,
      input,
      anyStatus: true,
    });

  test('answers a line with lines, and refuses what is none', async t => {
    const { near } = await overlayPair(t);
    const look = await ask(near.host, '{"look":{}}\n');
    const report = parseInspectionAnswer(look.stdout);
    assert.ok('report' in report && report.report.containers.length === 2, look.stdout);

    const flow = JSON.stringify({ observe: { flow: echo(NEAR, FAR) } });
    const answers = (await ask(near.host, `${flow}\n`)).stdout.trim().split('\n').map(parseInspectionAnswer);
    assert.deepEqual(answers[0], { ready: true });
    assert.ok(answers[1] !== undefined && 'observation' in answers[1]);

    const refusals = {
      '{': /it is not JSON/,
      '{"observe":{"flow":{"from":"x","to":"10.5.2.2","protocol":"icmp"}}}': /"x" is not an IP address/,
      '{"reboot":{}}': /is not a request to an inspector/,
      [`"${'x'.repeat(5000)}"`]: /a line of more than 4096 bytes/,
    };
    for (const [line, reason] of Object.entries(refusals)) {
      const { status, stdout } = await ask(near.host, `${line}\n`);
      const answer = parseInspectionAnswer(stdout);
      assert.ok('refusal' in answer && status === 1, stdout);
      assert.match(answer.refusal.message, reason);
    }
    const two = (await ask(near.host, `${flow}\n${flow}\n`)).stdout.trim().split('\n');
    assert.match(two[1] ?? '', /^\{"refusal":.*an inspector answers one request/);
    assert.deepEqual(await ask(near.host, ''), { status: 0, stdout: '', stderr: '' });
  });

  test('leaves nothing behind when it is killed', async t => {
    const { near } = await overlayPair(t);
    await near.host.do(...guard('inet', 'forward priority 0', 'accept').plant);
    const before = await tablesOf(near.host);
    const flow = JSON.stringify({ observe: { flow: echo(NEAR, FAR) } });
    // A shell keeps its standard input open.
    const line = `(echo '${flow}'; exec sleep 60) | exec "$0" inspector --socket /nonexistent`;
    const { namespaces } = near.host;
    const shell = await start('bash', ['-c', line, TULLE], { namespaces, pipeOutput: true });
    t.after(() => process.kill(-shell.pid, 'SIGKILL'));
    assert.ok(shell.stdout);
    const [first] = (await within('it is ready', once(shell.stdout, 'data'))) as [Buffer];
    assert.equal(first.toString(), '{"ready":true}\n');
    assert.match(await tablesOf(near.host), /tulle-trace/);
    process.kill(-shell.pid, 'SIGKILL');
    await within('it has ended', shell.exited);
    await eventually('its tables are gone', async () => (await tablesOf(near.host)) === before);
  });
});
