/** `tulle tunnel`: VXLAN links between two hosts, made and kept by the agent; with `--once` by the command itself. */
import { Argument, Command, Option } from 'commander';
import { ApiError } from '../api/client.ts';
import type { TunnelReport, TunnelRequest } from '../api/tunnels.ts';
import { defined } from '../base/defined.ts';
import { ConfigError, isCode, type Problem } from '../base/errors.ts';
import { CommandError } from '../console/errors.ts';
import { EXIT } from '../console/exit-codes.ts';
import { withExamples } from '../console/help.ts';
import { integer, jsonOption, port, repeated } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { type AgentOption, agentClient, networkOption, socketOption } from './agent-option.ts';
import { tunnelFacts, tunnelTable } from './tunnel-screen.ts';

/** What works without an agent; handed in, because it changes this host itself. */
export interface OnceTunnels {
  add(request: TunnelRequest): Promise<TunnelReport>;
  /** False when no tunnel of this name was made with `--once`. */
  delete(name: string): Promise<boolean>;
  list(): Promise<readonly TunnelReport[]>;
}

interface AddOptions extends AgentOption {
  readonly vni: number;
  readonly remote?: string;
  readonly group?: string;
  readonly dev?: string;
  readonly local?: string;
  readonly port: number;
  readonly address?: readonly string[];
  readonly attach?: string;
  readonly learning: boolean;
  readonly mtu?: number;
  readonly ttl?: number;
  readonly once?: true;
  readonly json?: true;
}

interface ListOptions extends AgentOption {
  readonly json?: true;
}

/** UDP port that IANA has given to VXLAN (RFC 7348, 5); Linux' own default is 8472. */
const VXLAN_PORT = 4789;

export function tunnelCommand(once: OnceTunnels): Command {
  return withExamples(
    new Command('tunnel')
      .description(
        'VXLAN links between two hosts, beside the network: with an address of its own, or as a port of a bridge, so that ' +
          'containers of two hosts share one Ethernet segment. The other host needs the same, the other way round.',
      )
      .addCommand(addCommand(once))
      .addCommand(listCommand(once))
      .addCommand(deleteCommand(once)),
    [
      {
        line: 'tunnel add vxlan1 --vni 1 --remote 172.31.0.107 --dev eth0 --address 10.0.0.106/24',
        does: 'two hosts, one cable',
      },
      {
        line: 'tunnel add vxlan_docker --vni 200 --remote 172.31.0.107 --attach mynetwork',
        does: 'one Docker network over two hosts',
      },
      { line: 'tunnel list', does: 'state, counters and MTU of each' },
      { line: 'tunnel delete vxlan1', does: 'remove it without trace' },
    ],
  );
}

const nameArgument = () => new Argument('<name>', 'name of the link, at most 15 characters');
const text = (value: string) => value;

function addCommand(once: OnceTunnels): Command {
  const command = new Command('add')
    .description(
      'Make a tunnel. The agent keeps it: it is there again after a restart of the agent or of the host, also while ' +
        'the store is away, and it is repaired when another program changes it.\n\n' +
        'Refused with the reason when its VNI, UDP port, name, address or block is taken on this host, or the other host cannot be reached.',
    )
    .addArgument(nameArgument())
    .addOption(
      new Option('--vni <number>', 'network identifier, the same on both hosts')
        .argParser(integer(1, 16_777_215))
        .makeOptionMandatory(),
    )
    .addOption(new Option('--remote <ip>', 'address of the other host').conflicts('group'))
    .addOption(new Option('--group <ip>', 'multicast group that all hosts of the tunnel join; needs --dev'))
    .addOption(new Option('--dev <link>', 'underlay link (default: the routes of this host choose)'))
    .addOption(new Option('--local <ip>', 'source address of the outer packets (default: the routes choose)'))
    .addOption(
      new Option('--port <number>', 'UDP port, the same on both hosts').argParser(port).default(VXLAN_PORT),
    )
    .addOption(
      new Option('--address <cidr>', 'address of the link with its prefix length; repeatable').argParser(
        repeated(text),
      ),
    )
    .addOption(
      new Option('--attach <name>', 'Docker network, or bridge, that it becomes a port of').conflicts(
        'address',
      ),
    )
    .option(
      '--no-learning',
      'do not learn which host a MAC address is at: all frames go to the remote or the group',
    )
    .addOption(
      new Option('--mtu <bytes>', 'MTU of the link (default: what the underlay carries)').argParser(
        integer(68, 65_535),
      ),
    )
    .addOption(
      new Option(
        '--ttl <hops>',
        'TTL of outer packets (default: 64; to a group 1, so that they stay on the wire)',
      ).argParser(integer(1, 255)),
    )
    .option('--once', 'without the agent: until it is deleted, or this host is restarted')
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (name: string, options: AddOptions) => {
      const request = requestOf(name, options);
      const tunnel = options.once
        ? await once.add(request)
        : await refusals(name, () => agentClient(options).addTunnel(request)).catch(offerOnce);
      if (options.json) return printJson(tunnel);
      print(tunnelFacts(tunnel));
      for (const text of tunnel.notes) note(text);
    });
  return withExamples(command, [
    {
      line: 'tunnel add vxlan1 --vni 1 --remote 172.31.0.107 --dev eth0 --address 10.0.0.106/24',
      does: 'on 172.31.0.106; the other host: --remote 172.31.0.106 --address 10.0.0.107/24',
    },
    {
      line: 'tunnel add vxlan_docker --vni 200 --remote 172.31.0.107 --attach mynetwork',
      does: 'join a Docker network with that of another host',
    },
    {
      line: 'tunnel add mc --vni 7 --group 239.1.1.1 --dev eth0 --address 10.7.0.1/24',
      does: 'any number of hosts on a wire that carries multicast',
    },
  ]);
}

/** Without an agent there is another way. */
function offerOnce(error: unknown): never {
  if (!(error instanceof ApiError) || error.code !== 'AGENT_NOT_RUNNING') throw error;
  throw new ApiError(error.code, error.message, {
    hint: `add --once to make it without an agent, or ${error.hint ?? 'start one'}`,
    cause: error,
  });
}

function requestOf(name: string, options: AddOptions): TunnelRequest {
  const { vni, remote, group, dev, local, port, address = [], attach, learning, mtu, ttl } = options;
  return {
    name,
    vni,
    port,
    addresses: [...address],
    learning,
    ...defined({ remote, group, dev, local, attach, mtu, ttl }),
  };
}

function listCommand(once: OnceTunnels): Command {
  const command = new Command('list')
    .description(
      `List the tunnels of this host with what the kernel has and has counted, those made with --once too.\n\nEnds with ${EXIT.differs.status} when one does not work.`,
    )
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (options: ListOptions) => {
      const ofOnce = await once.list();
      const tunnels = [...(await tunnelsOfAgent(options, ofOnce.length > 0)), ...ofOnce];
      if (options.json) printJson(tunnels);
      else if (tunnels.length === 0) note('this host has no tunnels');
      else print(tunnelTable(tunnels));
      if (tunnels.some(({ state }) => state !== 'up')) process.exitCode = EXIT.differs.status;
    });
  return withExamples(command, [
    { line: 'tunnel list', does: 'one line each' },
    { line: "tunnel list --json | jq '.[].counters'", does: 'packets and bytes of each' },
  ]);
}

/** @param mayBeAbsent there is something to show without an agent. */
async function tunnelsOfAgent(options: ListOptions, mayBeAbsent: boolean): Promise<TunnelReport[]> {
  try {
    return await agentClient(options).tunnels();
  } catch (error) {
    if (!mayBeAbsent || !isCode(error, 'AGENT_NOT_RUNNING')) throw error;
    note('no agent runs: tunnels that it keeps are not shown');
    return [];
  }
}

function deleteCommand(once: OnceTunnels): Command {
  const command = new Command('delete')
    .description(
      'Delete a tunnel: its link and addresses go, and links whose MTU was lowered for it get theirs back.',
    )
    .addArgument(nameArgument())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (name: string, options: AgentOption) => {
      if (!(await once.delete(name))) await refusals(name, () => agentClient(options).deleteTunnel(name));
      note(`the tunnel ${name} is deleted`);
    });
  return withExamples(command, [{ line: 'tunnel delete vxlan1', does: 'whoever made it' }]);
}

/** What the agent refuses ends the command as if the command itself had refused it. */
async function refusals<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'REFUSED') throw error;
    const { code, problems } = error.context;
    if (Array.isArray(problems)) throw new ConfigError(`tunnel ${name}`, problems as Problem[]);
    if (code === 'NOT_FOUND') throw new CommandError('NOT_FOUND', error.message, error.hint);
    throw error;
  }
}
