/** `tulle trace`: the journey of a packet over live hosts, and of its answer, with the entry behind every step. */
import { Argument, Command, Option } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { type AgentOption, networkOption, socketOf, socketOption } from '../../cli/agent-option.ts';
import { CommandError } from '../../console/errors.ts';
import { EXIT } from '../../console/exit-codes.ts';
import { withExamples } from '../../console/help.ts';
import { offering } from '../../console/offers.ts';
import { integer, jsonOption } from '../../console/options.ts';
import { print, printJson } from '../../console/output.ts';
import { withProgress } from '../../console/progress.ts';
import { requireNetworkAdmin } from '../../console/require-root.ts';
import { untilStopped } from '../../console/signals.ts';
import { kernelSite } from '../check/kernel-site.ts';
import { type CheckSite, type PeerSite, siteOf } from '../check/site.ts';
import { HostReader } from '../host/host-reader.ts';
import { inspectedContainers } from '../host/inspected-containers.ts';
import { LocalInspector } from '../inspector/local-inspector.ts';
import { addressPair, endName, findEnd, type JourneyEnd } from './journey-end.ts';
import { journeyJson } from './json.ts';
import { PeerAgents } from './peer-agents.ts';
import { journeyScreen } from './screen.ts';
import { traceJourney } from './trace-journey.ts';

interface TraceCommandOptions extends AgentOption {
  readonly proto: 'icmp' | 'tcp' | 'udp';
  readonly port?: number;
  readonly fromPort?: number;
  readonly json?: true;
}

export function traceCommand(): Command {
  const end = (name: string, what: string) =>
    offering(
      new Argument(name, `${what}: a container by name, address or as HOST/NAME; a host by name or address`),
      'hosts',
    );
  const command = new Command('trace')
    .description(
      'Follow a packet over the hosts from end to end, and its answer back: every step with the entry of the kernel that ' +
        'decides it. Where FROM is on this host a packet is sent, and both hosts watch it: the first step that it does not make ' +
        'is marked, with the cause and what to do.\n\n' +
        'Other hosts are asked through their agents; without certificates, and of hosts of flannel, this half alone is shown. ' +
        `Ends with ${EXIT.failed.status} when the packet or its answer is lost.`,
    )
    .addArgument(end('<from>', 'who sends'))
    .addArgument(end('<to>', 'who receives'))
    .addOption(
      new Option('--proto <protocol>', 'protocol of the packet')
        .choices(['icmp', 'tcp', 'udp'])
        .default('icmp'),
    )
    .addOption(new Option('--port <n>', 'destination port, with tcp and udp').argParser(integer(1, 65_535)))
    .addOption(
      new Option(
        '--from-port <n>',
        'source port of a flow that is there: what the fast path knows of it is shown, and of no other',
      ).argParser(integer(1, 65_535)),
    )
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action((from: string, to: string, options: TraceCommandOptions) =>
      untilStopped(signal => trace(from, to, options, signal)),
    );
  return withExamples(command, [
    { line: 'trace c1 docker2/c1', does: 'from a container here to one on another host, and back' },
    { line: 'trace c1 188.172.9.2 --proto tcp --port 80', does: 'the first packet of a connection' },
    { line: 'trace docker1 docker2', does: 'between hosts, over the underlay' },
    { line: "trace c1 docker2/c1 --json | jq '.broken'", does: 'for scripts' },
  ]);
}

async function trace(
  from: string,
  to: string,
  options: TraceCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  requireNetworkAdmin('a trace looks into containers and sends a packet');
  const { proto, port, fromPort } = options;
  if ((proto === 'icmp') !== (port === undefined))
    throw new CommandError(
      'USAGE',
      proto === 'icmp' ? '--port is for tcp and udp: ICMP has no ports' : `--proto ${proto} needs a port`,
      proto === 'icmp' ? `add --proto tcp` : `add the port: --port 80`,
    );
  if (proto === 'icmp' && fromPort !== undefined)
    throw new CommandError(
      'USAGE',
      '--from-port is for tcp and udp: ICMP has no ports',
      'add --proto and --port',
    );
  await using reader = HostReader.open({ socketPath: socketOf(options) });
  const status = await reader.status();
  const site = status === undefined ? await kernelSite(reader) : siteOf(status);
  const agents = new PeerAgents(status, signal);
  const here = new LocalInspector({ socketPath: socketOf(options) });
  const [source, target] = await withProgress('looking for both ends', async () => {
    const known = {
      site,
      containers: await inspectedContainers(reader),
      ownAddresses: (await reader.addresses()).map(({ ip }) => ip),
      ask: (peer: PeerSite) => agents.report(peer),
    };
    return [await findEnd(known, from), await findEnd(known, to)];
  });
  const pair = await sourced(reader, site, source, addressPair(source, target));
  const [near, far] = [source, target].map(one =>
    one.peer !== undefined ? agents.inspector(one.peer) : one.host === undefined ? undefined : here,
  );
  const result = await withProgress(
    'following the packet',
    traceJourney(
      {
        ...pair,
        protocol: proto,
        ...(port !== undefined && { toPort: port }),
        ...(fromPort !== undefined && { fromPort }),
        ...(near !== undefined && { near }),
        ...(far !== undefined && { far }),
        source: await leavesFrom(reader, source),
        clock: systemClock,
      },
      signal,
    ),
  );
  const silent = [source, target].flatMap(({ peer }) => {
    const reason = peer && agents.reason(peer);
    return peer === undefined || reason === undefined ? [] : [{ host: peer.name, reason }];
  });
  const whole = { ...result, unasked: [...silent, ...result.unasked] };
  if (options.json === true) printJson(journeyJson(whole, { from: source, to: target }));
  else
    print(
      journeyScreen(whole, ip =>
        ip.equals(pair.from) ? endName(source) : ip.equals(pair.to) ? endName(target) : undefined,
      ),
    );
  if (whole.broken !== undefined) process.exitCode = EXIT.failed.status;
}

/** The kernel chooses the address that a packet is from, where the sender has several; that of another host is not asked. */
async function sourced(
  reader: HostReader,
  { networks }: CheckSite,
  { peer, host, container, addresses }: JourneyEnd,
  pair: ReturnType<typeof addressPair>,
): Promise<ReturnType<typeof addressPair>> {
  if (addresses.length === 1 || host === undefined) return pair;
  if (peer === undefined) {
    const inside = (await reader.containers()).find(({ name }) => name === container)?.inside;
    const { route } = await (inside ?? reader).lookup(pair.to);
    return { ...pair, from: route?.preferredSource ?? pair.from };
  }
  const base = peer.subnets[pair.to.family]?.ip;
  const isOverlay = networks[pair.to.family]?.contains(pair.to) === true;
  return container === undefined && isOverlay && base !== undefined ? { ...pair, from: base } : pair;
}

async function leavesFrom(reader: HostReader, { peer, host, container }: JourneyEnd) {
  if (peer !== undefined || host === undefined)
    return {
      reason: `the packet would leave from ${host ?? 'a host that is not known'}: run the trace there`,
    };
  if (container === undefined) return { netns: reader.netns };
  const found = (await reader.containers()).find(({ name }) => name === container);
  return found === undefined ? { reason: `${container} is gone` } : { netns: found.inside.netns };
}
