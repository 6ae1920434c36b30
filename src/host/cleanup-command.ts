/** `tulle cleanup`: removes every trace of Tulle and flannel from this host. */
import { join } from 'node:path';
import { Command, Option } from 'commander';
import type { KnownState } from '../agent/state/known-state.ts';
import { AgentClient } from '../api/client.ts';
import { systemClock } from '../base/clock.ts';
import { isCode } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { type AgentOption, networkOption, socketOf, socketOption } from '../cli/agent-option.ts';
import { agentPaths, filesBeside, networkPrefix, SUBNET_FILE } from '../console/defaults.ts';
import { CommandError } from '../console/errors.ts';
import { formatCount } from '../console/format.ts';
import { withExamples } from '../console/help.ts';
import { jsonOption, prefix, repeated } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { requireRoot } from '../console/require-root.ts';
import { wrap } from '../console/table.ts';
import type { Findings, Leftover } from './cleanup.ts';

interface Options extends AgentOption {
  readonly etcdPrefix: string;
  readonly network?: readonly Prefix[];
  readonly subnetFile: string;
  readonly stateDir?: string;
  readonly keepState?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

export function cleanupCommand(): Command {
  const command = new Command('cleanup')
    .description(
      'Remove what Tulle or flannel left on this host for a network: devices, routes, firewall rules, ' +
        'programs of the fast path, files, tunnels, its L2 networks, and what commands of the backend extension have made. ' +
        'Containers of this host can then no longer reach those of other hosts.\n\n' +
        'The network is read from the state directory of the agent. Anything without an address of that network is ' +
        'kept, because it may belong to another overlay. Devices of that kind are listed; --network removes them.\n\n' +
        'The lease in the store is not touched: it expires, or `tulle lease release` frees it. The data of a store on ' +
        'this host is kept too, because it belongs to the whole network.',
    )
    .option('-n, --dry-run', 'only list what would be removed')
    .option('--keep-state', 'keep the state directory with the identity of this host')
    .addOption(new Option('--subnet-file <file>', 'file that Docker and CNI read').default(SUBNET_FILE))
    .addOption(new Option('--state-dir <dir>', 'state directory of the agent (default: that of the network)'))
    .addOption(
      new Option(
        '--network <cidr>',
        'also remove the traces of this network, for example of a former flanneld; repeatable',
      ).argParser(repeated(prefix)),
    )
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (options: Options) => {
      requireRoot('cleanup removes devices, routes and rules');
      await refuseWhileAgentRuns(socketOf(options));
      // Loaded only now: help and a refusal should answer at once.
      const { Firewall } = await import('../firewall/firewall.ts');
      const { connectRoute } = await import('../netlink/route/connect.ts');
      const { BridgeGuard } = await import('../firewall/bridge/bridge-guard.ts');
      const { agentFiles, findLeftovers } = await import('./cleanup.ts');
      const { segmentLeftovers } = await import('./segment-leftovers.ts');
      const { attachmentLeftovers } = await import('./attachment-leftovers.ts');
      const { resolverLeftovers } = await import('./resolver-leftovers.ts');
      const { fastPathLeftovers } = await import('./fast-path-leftovers.ts');
      const { Netns } = await import('../sys/netns.ts');
      const { portLeftovers } = await import('./port-leftovers.ts');
      const { SegmentKeys } = await import('../subnet/segment/segment-key.ts');
      const { stateDir = agentPaths(options.etcdPrefix).stateDirectory, subnetFile } = options;
      const known = await knownState(stateDir, options.etcdPrefix);
      const { segmentsAmong } = await import('../network/segment/open-segments.ts');
      const segments = segmentsAmong(known?.keys ?? [], new SegmentKeys(networkPrefix(options.etcdPrefix)));
      const networks = [
        ...(await networksOfOverlay(known)),
        ...segments.flatMap(({ subnets }) => valuesOf(subnets)),
        ...(options.network ?? []),
      ];
      const { undoOf } = await import('../extension/undo-commands.ts');
      const { commandRecordFile } = await import('../agent/state/known-state.ts');
      const { TUNNEL_FILE } = await import('../agent/state/tunnel-file.ts');
      const { ONCE_FILE, tunnelLeftovers } = await import('./tunnel-once.ts');
      const undo = await undoOf(commandRecordFile(stateDir, networkPrefix(options.etcdPrefix)));
      using netns = Netns.current();
      await using rtnetlink = connectRoute({ netns });
      const { leftovers, kept } = await findLeftovers({
        rtnetlink,
        firewall: new Firewall({ log: silentLogger }),
        networks,
        forwarder: filesBeside(socketOf(options)).control,
        paths: agentFiles({
          networks,
          subnetFile,
          socket: socketOf(options),
          ...(options.keepState ? {} : { stateDirectory: stateDir }),
        }),
      });
      // What is on an L2 network is found by its network and by what has put it there.
      const devices = [
        ...(await attachmentLeftovers({ rtnetlink, networks, stateDirectory: stateDir })),
        ...(await segmentLeftovers({ rtnetlink, guard: new BridgeGuard(), segments })),
      ];
      const findings = {
        // Commands may need the devices and the routes that go next.
        leftovers: [
          ...(undo === undefined ? [] : [{ what: undo.what, remove: undo.run }]),
          ...(await fastPathLeftovers({ rtnetlink, netns, network: networkPrefix(options.etcdPrefix) })),
          ...(await tunnelLeftovers(join(stateDir, TUNNEL_FILE))),
          ...(await tunnelLeftovers(ONCE_FILE)),
          ...new Map(devices.map(leftover => [leftover.what, leftover])).values(),
          ...(await resolverLeftovers({ rtnetlink })),
          ...(await portLeftovers(networkPrefix(options.etcdPrefix))),
          ...leftovers,
        ],
        kept,
      };
      if (!options.dryRun) await removeAll(findings.leftovers);
      report(findings, options);
    });
  return withExamples(command, [
    { line: 'cleanup --dry-run', does: 'list what would be removed' },
    { line: 'cleanup --network 10.5.0.0/16', does: 'also remove what flanneld left behind' },
    { line: 'cleanup', does: 'remove everything, after the agent was stopped' },
    {
      line: 'cleanup --keep-state',
      does: 'keep the identity, to get the same subnet again later',
    },
  ]);
}

/** What the agent knew last; undefined when it left nothing. */
async function knownState(stateDirectory: string, network: string): Promise<KnownState | undefined> {
  const { KnownStateFile } = await import('../agent/state/known-state.ts');
  return await new KnownStateFile(stateDirectory, networkPrefix(network), systemClock).load();
}

async function networksOfOverlay(known: KnownState | undefined): Promise<readonly Prefix[]> {
  const { formerConfigOf } = await import('../agent/state/known-state.ts');
  const { networksOf } = await import('../subnet/config/config.ts');
  const config = formerConfigOf(known?.config);
  return config === undefined ? [] : networksOf(config);
}

/** A running agent would restore everything. */
async function refuseWhileAgentRuns(socketPath: string): Promise<void> {
  let pid: number;
  try {
    ({ pid } = await new AgentClient({ socketPath }).status());
  } catch (error) {
    if (isCode(error, 'AGENT_NOT_RUNNING')) return;
    throw error;
  }
  throw new CommandError('NOT_NOW', `an agent is running (process ${pid})`, 'stop it first, then clean up');
}

/** Goes on after a failure: what can be removed is removed. @throws AggregateError */
async function removeAll(leftovers: readonly Leftover[]): Promise<void> {
  const failures: Error[] = [];
  for (const { what, remove } of leftovers) {
    try {
      await remove();
    } catch (cause) {
      failures.push(new CommandError('FAILED', `could not remove ${what}`, undefined, cause));
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'cleanup is not complete');
}

function report({ leftovers, kept }: Findings, { dryRun, json }: Options): void {
  const found = leftovers.map(({ what }) => what);
  if (json) {
    printJson({ removed: dryRun === undefined, found, kept });
    return;
  }
  for (const what of found) print(wrap(what, 2));
  const verb = dryRun ? 'would be removed' : 'removed';
  note(
    found.length === 0
      ? 'this host has no traces of this network'
      : `${formatCount(found.length, 'thing')} ${verb}`,
  );
  for (const what of kept) note(`kept, because it is not of this network: ${what}`);
}
