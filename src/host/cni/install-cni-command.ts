/** `tulle install cni`: containerd, nerdctl and podman find Tulle. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { CommandError } from '../../console/errors.ts';
import { withExamples } from '../../console/help.ts';
import { note, print } from '../../console/output.ts';
import { OVERLAY_NETWORK } from '../../network/attachment/attachments.ts';
import { isSegmentName } from '../../subnet/segment/segment.ts';
import { conflistName } from './conflist.ts';
import { type CniPlaces, installCni, planCni, uninstallCni } from './install-cni.ts';

const PLUGIN_PROGRAM = fileURLToPath(new URL('../../../bin/tulle-cni', import.meta.url));

/** Where podman looks: for programs of CNI on Debian, and for drivers of netavark (containers.conf(5)). */
const PODMAN = { cni: '/usr/lib/cni', netavark: '/usr/local/lib/netavark' };

interface Given {
  readonly dir: string;
  readonly binDir: string;
  readonly network: string;
  readonly socket: string;
  readonly podman?: true;
  readonly force?: true;
  readonly dryRun?: true;
  readonly uninstall?: true;
}

export function installCniCommand(): Command {
  const command = new Command('cni')
    .description(
      'Tell containerd, nerdctl and podman of Tulle: links to its plugin where they look for programs, and a network where ' +
        'they look for networks. Nothing of others is changed.',
    )
    .option('--dir <path>', 'where lists of networks are', '/etc/cni/net.d')
    .option('--bin-dir <path>', 'where programs of CNI are', '/opt/cni/bin')
    .option('--network <name>', 'the leased subnet, or an L2 network by its name', OVERLAY_NETWORK)
    .option('--socket <path>', 'where the agent listens', DEFAULT_SOCKET)
    .option(
      '--podman',
      `also link the plugin where podman looks: ${PODMAN.cni}, and ${PODMAN.netavark} for netavark`,
    )
    .option('--force', 'also when another network stops to be the first, which containerd takes')
    .option('--dry-run', 'say what would be written, and write nothing')
    .option('--uninstall', 'remove what was installed')
    .action(async (given: Given) => {
      const places = placesOf(given);
      if (given.uninstall) {
        // Also those of an earlier --podman.
        const all = placesOf({ ...given, podman: true });
        const removed = await uninstallCni(all);
        for (const path of removed) print(path);
        note(
          removed.length === 0
            ? 'nothing of Tulle was installed there'
            : 'removed; containers keep their links',
        );
        return;
      }
      const plan = await planCni(places, given.force ?? false);
      for (const { path, to } of plan.links) print(`${path} -> ${to}`);
      print(given.dryRun ? `${plan.list.path}:\n${plan.list.text.trimEnd()}` : plan.list.path);
      for (const text of plan.notes) note(text);
      if (given.dryRun) return note('nothing was written');
      await installCni(plan);
      const name = conflistName(places.network);
      note(`installed; try it: nerdctl run --net ${name} ..., or podman run --network ${name} ...`);
      if (!existsSync(places.socket))
        note(
          `no agent listens at ${places.socket} yet: containers start once \`tulle up\` or \`tulle agent\` runs`,
        );
    });
  return withExamples(command, [
    { line: 'install cni --dry-run', does: 'read what would be written' },
    {
      line: 'install cni --podman',
      does: 'containers of containerd, nerdctl and podman get addresses of the leased subnet',
    },
    { line: 'install cni --network blue', does: 'one more network: the L2 network blue' },
    { line: 'install cni --uninstall', does: 'remove all of it' },
  ]);
}

/** @throws CommandError USAGE */
function placesOf({ dir, binDir, network, socket, podman }: Given): CniPlaces {
  if (network !== OVERLAY_NETWORK && !isSegmentName(network))
    throw new CommandError('USAGE', `--network: no network can be called ${JSON.stringify(network)}`);
  return {
    directory: dir,
    network,
    socket,
    binDirectories: [...new Set([binDir, ...(podman ? [PODMAN.cni] : [])])],
    netavarkDirectories: podman ? [PODMAN.netavark] : [],
    program: PLUGIN_PROGRAM,
  };
}
