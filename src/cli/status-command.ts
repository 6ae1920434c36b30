/** `tulle status`: this host on one screen. */
import { Command, Option } from 'commander';
import type { AgentClient } from '../api/client.ts';
import type { AgentEvent } from '../api/messages.ts';
import { containersCanTalk, type Status } from '../api/status.ts';
import { TulleError } from '../base/errors.ts';
import { Interrupted } from '../console/errors.ts';
import { EXIT } from '../console/exit-codes.ts';
import { formatCount } from '../console/format.ts';
import { withExamples } from '../console/help.ts';
import { offering } from '../console/offers.ts';
import { jsonOption } from '../console/options.ts';
import { note, print, printJson, warn } from '../console/output.ts';
import { withProgress } from '../console/progress.ts';
import { untilStopped } from '../console/signals.ts';
import { type AgentOption, agentClient, networkOption, socketOption } from './agent-option.ts';
import { clusterSummary } from './all-hosts.ts';
import { allHostsScreen } from './all-hosts-screen.ts';
import { findPeers, peerScreen, warningsAbout } from './peer-screen.ts';
import { statusScreen } from './status-screen.ts';
import { readTraffic } from './traffic.ts';

interface StatusOptions extends AgentOption {
  readonly json?: true;
  readonly all?: true;
  readonly resync?: true;
  readonly peer?: string;
  readonly allHosts?: true;
}

/** What answers of a peer at this moment, and why the rest does not. */
export interface PeerAnswers {
  readonly text: string;
  /** Nothing is lost. */
  readonly ok: boolean;
}

/** @throws TulleError where it cannot be found out */
export type AskPeer = (key: string, agent: AgentOption, signal: AbortSignal) => Promise<PeerAnswers>;

/** @param askPeer sends probes; without it only what the agent knows is shown */
export function statusCommand(askPeer?: AskPeer): Command {
  const command = new Command('status')
    .description(
      'Show the lease, the store, the peers and the firewall of this host, and the reason for every problem.\n\n' +
        `Ends with ${EXIT.differs.status} when containers of this host (with --peer, those of the peer) cannot communicate, and ${EXIT.noAgent.status} when no agent runs.`,
    )
    .option('--all', 'show every peer, with its kernel entries')
    .addOption(
      offering(
        new Option(
          '--peer <which>',
          'show one peer, and what of it answers: host name, subnet, an address inside it, public IP or host id',
        ),
        'hosts',
      ),
    )
    .addOption(
      new Option('--all-hosts', 'ask every host of the network, and show a line for each').conflicts([
        'peer',
        'all',
        'resync',
      ]),
    )
    .option('--resync', 'first compare everything with the kernel, and repair what differs')
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (options: StatusOptions) => {
      const agent = agentClient(options);
      if (options.resync) await resync(agent);
      const status = await agent.status();
      if (options.allHosts) return await showAllHosts(status, options);
      if (options.peer !== undefined) await showPeers(agent, status, options.peer, options, askPeer);
      else if (options.json) printJson(status);
      else {
        const traffic = await readTraffic(agent, status);
        print(statusScreen(status, { now: Date.now(), all: options.all === true, traffic }));
      }
      if (!containersCanTalk(status)) process.exitCode = EXIT.differs.status;
    });
  return withExamples(command, [
    { line: 'status', does: 'the lease, the store, the peers and the firewall of this host' },
    { line: 'status --all', does: 'with the route, neighbor and FDB entry of every peer' },
    { line: 'status --all-hosts', does: 'the whole network from one host' },
    { line: 'status --peer 188.172.9.2', does: 'why does a packet to this container not arrive?' },
    {
      line: 'status --json | jq \'.peers[] | select(.state != "ok")\'',
      does: 'the peers that need attention',
    },
  ]);
}

async function resync(agent: AgentClient): Promise<void> {
  const { inSync, writes, failures } = await withProgress('comparing with the kernel', agent.resync());
  for (const failure of failures) warn(failure);
  if (inSync)
    note(`compared with the kernel: ${writes === 0 ? 'nothing to repair' : formatCount(writes, 'write')}`);
}

async function showAllHosts(status: Status, { json }: StatusOptions): Promise<void> {
  const hosts = await clusterSummary(status, new AbortController().signal);
  const ok = hosts.every(host => host.ok);
  if (json) printJson({ ok, hosts });
  else print(allHostsScreen(hosts));
  if (!ok) process.exitCode = EXIT.differs.status;
}

async function showPeers(
  agent: AgentClient,
  status: Status,
  which: string,
  options: StatusOptions,
  askPeer: AskPeer | undefined,
): Promise<void> {
  const peers = findPeers(status, which);
  if (peers.length > 1) note(`${peers.length} peers are ${which}`);
  let answers: (PeerAnswers | undefined)[] = [];
  if (options.json) {
    printJson(peers);
  } else {
    const events: AgentEvent[] = await Array.fromAsync(agent.events());
    const traffic = await readTraffic(agent, status);
    if (askPeer !== undefined)
      answers = await Promise.all(peers.map(({ key }) => answersOf(key, options, askPeer)));
    const screens = peers.map((peer, at) =>
      peerScreen(peer, status, events, Date.now(), traffic, answers[at]?.text),
    );
    print(screens.join('\n\n'));
  }
  const isKnown = peers.some(peer => peer.state !== 'ok' || warningsAbout(peer, status).length > 0);
  if (isKnown || answers.some(one => one?.ok === false)) process.exitCode = EXIT.differs.status;
}

/** undefined where the peer cannot be asked from here: what the agent knows is shown all the same. */
async function answersOf(
  key: string,
  options: StatusOptions,
  askPeer: AskPeer,
): Promise<PeerAnswers | undefined> {
  try {
    return await untilStopped(signal => askPeer(key, options, signal));
  } catch (error) {
    if (error instanceof Interrupted || !(error instanceof TulleError)) throw error;
    return undefined;
  }
}
