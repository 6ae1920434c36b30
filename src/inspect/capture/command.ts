/** `tulle capture`: frames of this host's links, decoded to both layers, while they pass. */
import { Argument, Command, Option } from 'commander';
import { ApiError } from '../../api/client.ts';
import { isCode } from '../../base/errors.ts';
import { type AgentOption, agentClient, networkOption, socketOption } from '../../cli/agent-option.ts';
import { CommandError } from '../../console/errors.ts';
import { formatCount, formatNumber } from '../../console/format.ts';
import { withExamples } from '../../console/help.ts';
import { integer } from '../../console/options.ts';
import { note, print, warn } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { connectRoute } from '../../netlink/route/connect.ts';
import { CaptureSocket } from '../../sys/capture-socket.ts';
import { Netns } from '../../sys/netns.ts';
import { VXLAN_PORTS } from '../decode/decode-frame.ts';
import { CaptureFile } from '../pcapng/capture-file.ts';
import { type CaptureLink, captureLinks, vxlanPortsIn } from './capture-links.ts';
import { fastNote } from './fast-note.ts';
import { parseFilter } from './filter.ts';
import { frameJson, frameLine, frameTree, type SeenFrame } from './frame-text.ts';
import { type KnownHosts, knownHostsIn, NO_HOSTS } from './known-hosts.ts';
import { type CaptureResult, openCapture, runCapture } from './run-capture.ts';
import { ADDRESS_ITSELF } from './short-form.ts';

interface CaptureOptions extends AgentOption {
  readonly allLinks?: true;
  readonly to?: string;
  readonly force?: true;
  readonly verbose?: true;
  readonly json?: true;
  readonly quiet?: true;
  readonly count?: number;
  readonly filter?: string;
  readonly promiscuous?: true;
  readonly numeric?: true;
}

export function captureCommand(): Command {
  const command = new Command('capture')
    .description(
      'Show the frames that pass the links of this host, one a line, until Ctrl-C: the tunnel first, then what is in it.\n\n' +
        'Times are UTC; hosts that the agent knows are shown by name.',
    )
    .addArgument(
      new Argument(
        '[link...]',
        "links (default: the underlay's, and the devices of the network, as the agent knows them)",
      ),
    )
    .option('--all-links', 'all links of this host')
    .addOption(
      new Option(
        '--filter <words>',
        'only these frames: [not] [inner|outer] host|from|to ADDRESS|PREFIX|NAME, port N, vni N, mac MAC, ' +
          'arp, ip, ipv4, ipv6, icmp, icmpv6, tcp, udp, vlan, vxlan, flannel-udp; with and, or, ( )',
      ),
    )
    .addOption(
      new Option('-c, --count <n>', 'end after n frames').argParser(integer(1, Number.MAX_SAFE_INTEGER)),
    )
    .option('-v, --verbose', 'show every layer of a frame on a line of its own')
    .addOption(new Option('--json', 'print one JSON document per frame').conflicts('verbose'))
    .addOption(new Option('-q, --quiet', 'show no frames, with --to').conflicts(['verbose', 'json']))
    .option('-n, --numeric', 'show addresses instead of names of hosts')
    .option('--to <file>', 'also write the frames to a pcapng file, which Wireshark reads')
    .option('--force', 'replace the file of --to if it exists')
    .option('--promiscuous', 'also take frames that are addressed to other hosts')
    .addOption(networkOption())
    .addOption(socketOption())
    .action((names: readonly string[], options: CaptureOptions) =>
      untilStopped(signal => capture(names, options, signal)),
    );
  return withExamples(command, [
    { line: 'capture', does: 'what leaves and reaches this host, in the tunnel and around it' },
    {
      line: "capture eth0 --filter 'vni 88 and inner icmp' -v",
      does: 'pings between containers, every layer',
    },
    { line: "capture --filter 'host docker2 and not tcp'", does: 'traffic with one host and its containers' },
    { line: 'capture eth0 --to ping.pcapng --count 10', does: 'ten frames, to be opened in Wireshark' },
    { line: 'lab exec docker1 -- tulle capture', does: 'on a host of a lab' },
  ]);
}

async function capture(
  names: readonly string[],
  options: CaptureOptions,
  signal: AbortSignal,
): Promise<void> {
  const { allLinks, to, force, quiet, count, filter, promiscuous, numeric } = options;
  if (quiet && to === undefined)
    throw new CommandError(
      'USAGE',
      'frames would be neither shown nor kept',
      'add --to FILE, or leave out --quiet',
    );
  if (force && to === undefined)
    throw new CommandError(
      'USAGE',
      '--force is about the file of --to',
      'add --to FILE, or leave out --force',
    );
  if (allLinks && names.length > 0)
    throw new CommandError('USAGE', 'links are given, and --all-links', 'give one of the two');

  const hosts = await hostsOf(options, allLinks === true || names.length > 0, signal);
  const nameOf = numeric ? ADDRESS_ITSELF : hosts.nameOf;
  const isWanted = filter === undefined ? undefined : parseFilter(filter, hosts.addressesOf);
  await using rtnetlink = connectRoute();
  const all = await rtnetlink.links.list();
  const links = captureLinks(all, allLinks ? undefined : names.length > 0 ? names : presentOf(hosts, all));

  using netns = Netns.current();
  using socket = opened(() => openCapture(netns, { links, promiscuous: promiscuous === true }));
  using file =
    to === undefined ? undefined : CaptureFile.create(to, links.map(interfaceOf), { force: force === true });
  const hidden = await fastNote(netns, links);
  if (hidden !== undefined) note(hidden);
  note(`capturing on ${links.map(({ name }) => name).join(', ')}; end with Ctrl-C`);
  const result = await runCapture(
    socket,
    {
      links,
      ports: { vxlanPorts: [...VXLAN_PORTS, ...hosts.vxlanPorts, ...vxlanPortsIn(all)] },
      ...(isWanted === undefined ? {} : { isWanted }),
      ...(count === undefined ? {} : { count }),
      ...(file === undefined ? {} : { file }),
      ...(quiet ? {} : { show: showing(options, links, nameOf) }),
      nameOf,
    },
    signal,
  );
  note(summaryOf(result, filter !== undefined, to));
  if (result.dropped > 0)
    warn('the kernel dropped frames because they came faster than they were shown: try --quiet --to FILE');
}

/** What the agent knows; nothing where there is none and the links are given. */
async function hostsOf(options: AgentOption, hasLinks: boolean, signal: AbortSignal): Promise<KnownHosts> {
  try {
    return knownHostsIn(await agentClient(options).status(signal));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (hasLinks) return NO_HOSTS;
    if (!isCode(error, 'AGENT_NOT_RUNNING')) throw error;
    throw new CommandError(
      'USAGE',
      'no link is given, and no agent runs that would know which',
      'name one (`ip link` lists them), or give --all-links',
      error,
    );
  }
}

/** Those of the agent's links that the kernel has: a device may be on its way. */
function presentOf({ links }: KnownHosts, all: readonly { readonly name: string }[]): string[] {
  const present = links.filter(name => all.some(link => link.name === name));
  if (present.length > 0) return present;
  throw new CommandError('NOT_NOW', 'the agent has no link yet', 'see `tulle status`, or name a link');
}

function opened(open: () => CaptureSocket): CaptureSocket {
  try {
    return open();
  } catch (error) {
    if (!isCode(error, 'EPERM')) throw error;
    throw new CommandError('FORBIDDEN', 'capturing requires root', 'run the command with sudo', error);
  }
}

const interfaceOf = ({ name, linkType }: CaptureLink) => ({
  name,
  linkType,
  snapshot: CaptureSocket.SNAPSHOT,
});

function showing(
  { json, verbose }: CaptureOptions,
  links: readonly CaptureLink[],
  nameOf: KnownHosts['nameOf'],
): (seen: SeenFrame) => void {
  if (json) return seen => print(frameJson(seen));
  const options = { nameOf, linkWidth: Math.max(...links.map(({ name }) => name.length)) };
  return seen => print(verbose ? frameTree(seen, options) : frameLine(seen, options));
}

function summaryOf({ seen, wanted, dropped }: CaptureResult, isFiltered: boolean, to?: string): string {
  const frames = isFiltered
    ? `${formatNumber(wanted)} of ${formatCount(seen, 'frame')} passed the filter`
    : formatCount(seen, 'frame');
  const written = to === undefined ? '' : `, written to ${to}`;
  return `${frames}, ${dropped} dropped by the kernel${written}`;
}
