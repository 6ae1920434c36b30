/** `tulle check`: why a packet does or does not arrive, found out by asking. */
import { Argument, Command } from 'commander';
import { AgentClient, ApiError } from '../../api/client.ts';
import type { NameList } from '../../api/names.ts';
import type { Status } from '../../api/status.ts';
import { systemClock } from '../../base/clock.ts';
import { type AgentOption, networkOption, socketOf, socketOption } from '../../cli/agent-option.ts';
import type { PeerAnswers } from '../../cli/status-command.ts';
import { CommandError } from '../../console/errors.ts';
import { EXIT } from '../../console/exit-codes.ts';
import { withExamples } from '../../console/help.ts';
import { offering } from '../../console/offers.ts';
import { jsonOption } from '../../console/options.ts';
import { note, print, printJson, warn } from '../../console/output.ts';
import { withProgress } from '../../console/progress.ts';
import { requireNetworkAdmin } from '../../console/require-root.ts';
import { untilStopped } from '../../console/signals.ts';
import type { FixableFinding } from '../checks/check.ts';
import { lookAt } from '../checks/look.ts';
import { HostReader } from '../host/host-reader.ts';
import type { Inspector } from '../inspector/inspector.ts';
import { LocalInspector } from '../inspector/local-inspector.ts';
import { remoteHosts } from '../remote/remote-inspectors.ts';
import { type Fixed, fixAll, fixableOn, foundAgain } from './fix.ts';
import { checkJson } from './json.ts';
import { kernelSite } from './kernel-site.ts';
import { type CheckResult, runCheck } from './run-check.ts';
import { checkScreen, shortScreen } from './screen.ts';
import { type PeerSite, siteOf } from './site.ts';

/** Milliseconds for the names of all containers. */
const NAMES_PATIENCE = 2000;

/**
 * Milliseconds after a fix: the kernel follows a carrier within one second (net/core/link_watch.c), and what it has asked for
 * by ARP meanwhile fails after three (arp(7), mcast_solicit).
 */
const SETTLING = 3500;

interface CheckOptions extends AgentOption {
  readonly json?: true;
  readonly fix?: true;
}

export function checkCommand(): Command {
  const command = new Command('check')
    .description(
      'Find out why packets do not arrive: look at this host and, through their agents, at the others, send probes over every ' +
        'step from host to container, and watch where those that are lost end. Works without an agent, too.\n\n' +
        `Ends with ${EXIT.failed.status} when packets are lost.`,
    )
    .addArgument(
      offering(
        new Argument(
          '[what]',
          'a host by name, underlay address or subnet; a container, of an L2 network too, by address or as HOST/NAME (default: this host and all peers)',
        ),
        'hosts',
      ),
    )
    .option('--fix', 'do what is safe on this host, and check again')
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action((what: string | undefined, options: CheckOptions) =>
      untilStopped(signal => check(what, options, signal)),
    );
  return withExamples(command, [
    { line: 'check', does: 'this host and all peers' },
    { line: 'check docker2', does: 'one host: why do its containers not answer?' },
    { line: 'check 188.172.9.2', does: 'one container' },
    { line: 'check docker2/web', does: 'one container by name, of the overlay or of an L2 network' },
    { line: 'check --fix', does: 'undo what is wrong on this host, where that is safe' },
    { line: 'check --json | jq -r \'.findings[] | .host + " " + .code\'', does: 'for scripts' },
  ]);
}

async function check(what: string | undefined, options: CheckOptions, signal: AbortSignal): Promise<void> {
  requireNetworkAdmin('a check sends probes and looks into containers');
  let result = await checkOnce(what, options, signal);
  let fixed: Fixed[] = [];
  if (options.fix === true) {
    const meant = fixableOn(result.findings, result.known.site.host);
    if (meant.length === 0 && !result.ok) note('nothing on this host can be fixed without a person');
    if (meant.length > 0) {
      fixed = await withProgress('fixing', fixWhatIsLeft(meant, options, signal));
      for (const one of fixed) say(one);
      if (fixed.length < meant.length) note('what is not found any more is left as it is');
      await withProgress('waiting until it is in force', systemClock.sleep(SETTLING, signal));
      result = await checkOnce(what, options, signal);
    }
  }
  if (options.json === true) printJson(checkJson(result, fixed));
  else print(checkScreen(result));
  if (!result.ok) process.exitCode = EXIT.failed.status;
}

async function fixWhatIsLeft(
  meant: readonly FixableFinding[],
  options: AgentOption,
  signal: AbortSignal,
): Promise<Fixed[]> {
  await using reader = HostReader.open({ socketPath: socketOf(options) });
  const { host, findings } = await lookAt(reader, signal);
  return await fixAll(foundAgain(meant, fixableOn(findings, host)), signal);
}

export async function checkOnce(
  what: string | undefined,
  options: AgentOption,
  signal: AbortSignal,
): Promise<CheckResult> {
  const socketPath = socketOf(options);
  await using reader = HostReader.open({ socketPath });
  const status = await reader.status();
  if (status !== undefined && !(await isHere(reader, status)))
    throw new CommandError(
      'NOT_NOW',
      `the agent at ${socketPath} runs in another network namespace than this command`,
      'run the command on the host of that agent; in a lab: `tulle lab exec docker1 -- tulle check`',
    );
  const site = status === undefined ? await kernelSite(reader) : siteOf(status);
  return await runCheck(
    {
      site,
      reader,
      here: new LocalInspector({ socketPath }),
      look: until => lookAt(reader, until),
      clock: systemClock,
      progress: withProgress,
      ...(status !== undefined && {
        peerInspector: peerInspectors(status),
        networks: async () => ({
          networks: status.l2Networks ?? [],
          named: await namesOf(socketPath, signal),
        }),
      }),
    },
    what,
    signal,
  );
}

/** Who is on the L2 networks. An agent that does not say it knows of none. */
async function namesOf(socketPath: string | undefined, signal: AbortSignal): Promise<NameList> {
  const options = { ...(socketPath !== undefined && { socketPath }), timeout: NAMES_PATIENCE };
  try {
    return await new AgentClient(options).names(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ApiError) return [];
    throw error;
  }
}

/** Something of what the agent describes is in the namespace that is read. */
async function isHere(reader: HostReader, { underlay, backend }: Status): Promise<boolean> {
  if (underlay === undefined) return true;
  const [links, addresses] = await Promise.all([reader.links(), reader.addresses()]);
  const devices = backend?.devices.map(({ name }) => name) ?? [];
  return (
    links.some(({ name }) => devices.includes(name)) ||
    addresses.some(({ ip }) => Object.values(underlay.ip).includes(String(ip)))
  );
}

/** What `tulle status --peer` shows of a check. @param peer key of its lease */
export async function checkPeerShortly(
  peer: string,
  options: AgentOption,
  signal: AbortSignal,
): Promise<PeerAnswers> {
  const result = await checkOnce(peer, options, signal);
  return { text: shortScreen(result), ok: result.ok };
}

/** The agents of the peers, as this one's knows them. */
function peerInspectors(status: Status): (peer: PeerSite) => Inspector {
  const hosts = new Map(remoteHosts(status).map(host => [host.peer.key, host]));
  return ({ key = '', name }) => {
    const host = hosts.get(key);
    if (host?.inspector !== undefined) return host.inspector;
    throw host?.reason ?? new CommandError('NOT_FOUND', `${name} is not known any more`);
  };
}

function say({ finding, commands, failure }: Fixed): void {
  const what = `${finding.code}: ${commands.join('; ')}`;
  if (failure === undefined) note(`fixed ${what}`);
  else warn(`${what}: ${failure}`);
}
