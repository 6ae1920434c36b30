/**
 * What rules of others are to flows that go past them: each kind of rule stops an established flow, with the agent and
 * without, and no connection suffers from being unseen for a while.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type LabHost, TULLE } from '../../src/lab/host/host.ts';
import { connectNetfilter, type Netfilter } from '../../src/netlink/netfilter/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { fastFlows } from '../support/fast-flows.ts';
import { type Talk, type TalkPlace, TcpTalk, UdpTalk } from '../support/fast-talk.ts';
import { LabPair, type PairHost } from '../support/lab-pair.ts';

/** What docs/guide/fast-path.md promises, in milliseconds. */
const PROMISED = 1000;
/** Without an answer for so long, a flow has been stopped. */
const SILENCE = 1200;
/** More than any window of TCP here. */
const BEYOND = 64 << 20;
const IPPROTO_TCP = 6;

/** A rule that stops everything of the container, and how it is taken away. */
interface Way {
  readonly name: string;
  readonly add: readonly string[];
  readonly remove: readonly string[];
  /**
   * Only the agent sees it: a queue comes after the last program on a packet's way to a container. How soon is a question to
   * the machine; what programs do does not wait for a processor.
   */
  readonly needsAgent?: boolean;
}

const DROP = 'type filter hook forward priority -5 ; ip daddr 0.0.0.0/0 meta l4proto { tcp, udp } drop ;';
const WAYS: readonly Way[] = [
  ...['iptables-nft', 'iptables-legacy'].map(program => ({
    name: `${program}, DOCKER-USER`,
    add: [
      `${program} -N DOCKER-USER`,
      `${program} -I FORWARD -j DOCKER-USER`,
      `${program} -A DOCKER-USER -p tcp -j DROP`,
      `${program} -A DOCKER-USER -p udp -j DROP`,
    ],
    remove: [
      `${program} -F DOCKER-USER`,
      `${program} -D FORWARD -j DOCKER-USER`,
      `${program} -X DOCKER-USER`,
    ],
  })),
  {
    name: 'a table of nftables',
    add: [`nft add table inet mine { chain forward { ${DROP} } ; }`],
    remove: ['nft delete table inet mine'],
  },
  {
    name: 'ebtables-nft',
    add: ['ebtables-nft -A INPUT -p IPv4 -j DROP'],
    remove: ['ebtables-nft -D INPUT -p IPv4 -j DROP'],
  },
  // Frames are larger than what may pass at once.
  ...(['flannel.88', 'LINK'] as const).map(device => ({
    name: `a queue at ${device === 'LINK' ? 'the link of the container' : device}`,
    add: [`tc qdisc add dev ${device} root tbf rate 8kbit burst 60 limit 60`],
    remove: [`tc qdisc del dev ${device} root`],
    needsAgent: device === 'LINK',
  })),
  {
    name: 'a rule of routing',
    add: ['ip rule add pref 10 from all to PEER unreachable'],
    remove: ['ip rule del pref 10'],
  },
];

/** What `work` says of the connections that a host tracks. */
function tracking<T>(host: LabHost, work: (netfilter: Netfilter) => T): T {
  using netns = Netns.open(host.netnsFile);
  using netfilter = connectNetfilter({ netns });
  return work(netfilter);
}

describe('rules of others, and the fast path', { ...needsRoot, concurrency: 1 }, () => {
  let pair: LabPair;
  const places: TalkPlace[] = [];
  let nextPort = 6000;

  before(async () => {
    pair = await LabPair.create({});
    await pair.whole();
    for (const host of [pair.first, pair.second])
      places.push({ netns: Netns.open(host.containerNetns), ip: host.ip.ipv4 ?? '' });
  });

  after(async () => {
    for (const { netns } of places) netns[Symbol.dispose]();
    await pair[Symbol.asyncDispose]();
  });

  const ends = () => places as [TalkPlace, TalkPlace];
  const tcp = (options?: { at?: string; atPort?: number }) => TcpTalk.begin(...ends(), nextPort++, options);
  const udp = () => UdpTalk.begin(...ends(), nextPort++);

  /** Waits until packets of a talk take the fast path on both hosts, in both directions. */
  const untilFast = async ({ port }: { readonly port: number }, ...hosts: PairHost[]) => {
    for (const { host } of hosts.length > 0 ? hosts : [pair.first, pair.second])
      await eventually(`the flow at port ${port} takes the fast path on ${host.name}`, async () =>
        (await fastFlows(host)).some(
          ({ localPort, remotePort }) => localPort === port || remotePort === port,
        ),
      );
  };

  /** Runs commands on the first host. */
  const onFirst = async (commands: readonly string[]) => {
    const { host } = pair.first;
    const { ip: peer } = ends()[1];
    const link = await containerLink();
    for (const command of commands) {
      const [program = '', ...args] = command.replaceAll('LINK', link).replaceAll('PEER', peer).split(' ');
      await host.run(program, args);
    }
  };

  /** The host's end of the container's link: a port of the bridge. */
  const containerLink = async () => {
    const { stdout } = await pair.first.host.run('ip', ['-o', 'link', 'show', 'type', 'veth']);
    return /^\d+: ([^@:]+)@?[^ ]* .* master /m.exec(stdout)?.[1] ?? '';
  };

  const silent = (talk: Talk) => eventually('the flow is stopped', async () => talk.silence > SILENCE);

  async function stopsAndGoesOn({ add, remove, needsAgent }: Way, talks: readonly Talk[]) {
    await onFirst(add);
    const added = performance.now();
    try {
      for (const talk of talks) {
        await silent(talk);
        const later = Math.round(talk.lastPassed - added);
        assert.ok(needsAgent === true || later < PROMISED, `what was said after ${later} ms has passed`);
      }
    } finally {
      await onFirst(remove);
    }
    await Promise.all(talks.map(talk => talk.answered()));
  }

  for (const way of WAYS)
    test(`${way.name} stops established flows, which go on without it`, async () => {
      using one = await tcp();
      using other = await udp();
      await pair.explaining(async () => {
        for (const talk of [one, other]) await untilFast(talk);
        await stopsAndGoesOn(way, [one, other]);
      });
    });

  test('and so do all that a packet meets on its way without an agent', async () => {
    using one = await tcp();
    using other = await udp();
    for (const talk of [one, other]) await untilFast(talk);
    await pair.first.killAgent();
    try {
      for (const way of WAYS.filter(({ needsAgent }) => needsAgent !== true)) {
        for (const talk of [one, other]) await untilFast(talk);
        await stopsAndGoesOn(way, [one, other]);
      }
    } finally {
      await pair.first.startAgent();
      await pair.whole();
    }
  });

  describe('where what connection tracking calls invalid is dropped', { concurrency: 1 }, () => {
    const chain = 'type filter hook forward priority -5 ; ct state invalid drop ;';
    before(async () => {
      for (const { host } of [pair.first, pair.second])
        await host.run('nft', `add table inet strict { chain forward { ${chain} } ; }`.split(' '));
    });
    after(async () => {
      for (const { host } of [pair.first, pair.second])
        await host.run('nft', ['delete', 'table', 'inet', 'strict']);
    });

    /** A failure says what both hosts have. */
    const about = (title: string, work: () => Promise<void>) => void test(title, () => pair.explaining(work));

    /** A connection that connection tracking has lost the window of. */
    const unseen = async () => {
      const talk = await tcp();
      await untilFast(talk);
      await talk.carry(BEYOND);
      return talk;
    };

    about('a connection ends in order', async () => {
      using talk = await unseen();
      await talk.end();
    });

    about('a connection is reset', async () => {
      using talk = await unseen();
      await talk.reset();
    });

    about('a connection that was idle for half a minute goes on', async () => {
      using talk = await unseen();
      talk.quiet(true);
      await eventually('it was idle', async () => talk.silence > 30_000);
      talk.quiet(false);
      await talk.answered();
      await talk.end();
    });

    about('changes of rules do not matter', async () => {
      using talk = await unseen();
      for (let change = 0; change < 5; change++) {
        await onFirst(['nft add table inet another', 'nft delete table inet another']);
        await talk.carry(1 << 20);
      }
      await untilFast(talk);
      await talk.end();
    });

    about('nor that the fast path is turned off in the middle', async () => {
      using talk = await unseen();
      const configure = (fastPath: string) => {
        const config = JSON.stringify({
          Network: '188.172.0.0/16',
          FastPath: fastPath,
          Backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
        });
        return pair.first.host.run('sh', ['-c', `printf '%s' '${config}' | ${TULLE} config set -`]);
      };
      await configure('off');
      for (const { host } of [pair.first, pair.second])
        await eventually('no flow takes the fast path', async () => (await fastFlows(host)).length === 0);
      await talk.carry(1 << 20);
      await configure('auto');
      await untilFast(talk);
      await talk.carry(1 << 20);
      await talk.end();
    });

    about('nor that all connections are forgotten', async () => {
      using talk = await unseen();
      const hosts = [pair.first, pair.second].map(({ host }) => host);
      for (const host of hosts)
        tracking(host, netfilter => {
          netfilter.forget(netfilter.connections({ family: 'ipv4', protocol: IPPROTO_TCP }));
        });
      // It is seen again with the next packet that proves it. What ends a connection that nobody has seen is invalid.
      for (const host of hosts)
        await eventually(`${host.name} tracks the connection again`, async () =>
          tracking(host, netfilter => {
            const { port } = talk;
            return netfilter
              .connections({ family: 'ipv4', protocol: IPPROTO_TCP })
              .some(({ original }) => original.sourcePort === port || original.destinationPort === port);
          }),
        );
      await talk.carry(BEYOND);
      await untilFast(talk);
      await talk.end();
    });
  });

  test('a published port of a container on another host works, and its flow does not take the fast path where it is translated', async () => {
    const { host, record } = pair.first;
    const [, to] = ends();
    const port = nextPort;
    const dnat = `-p tcp --dport 8080 -j DNAT --to-destination ${to.ip}:${port}`.split(' ');
    await host.run('iptables', ['-t', 'nat', '-A', 'PREROUTING', ...dnat]);
    try {
      using talk = await tcp({ at: record.address.ipv4 ?? '', atPort: 8080 });
      await talk.carry(BEYOND);
      const flows = await fastFlows(host);
      assert.ok(!flows.some(({ remotePort, localPort }) => remotePort === port || localPort === port));
      await talk.end();
    } finally {
      await host.run('iptables', ['-t', 'nat', '-D', 'PREROUTING', ...dnat]);
    }
  });

  test('what leaves the overlay has the address of its host', async () => {
    const { record, host } = pair.second;
    using netns = Netns.open(host.netnsFile);
    const server = { netns, ip: record.address.ipv4 ?? '' };
    using talk = await TcpTalk.begin(ends()[0], server, nextPort++);
    await talk.carry(1 << 20);
    assert.equal(talk.served.remoteAddress, pair.first.record.address.ipv4);
    await talk.end();
  });
});
