/** `tulle install` and `tulle uninstall`: the daemons as services of systemd. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Argument, Command } from 'commander';
import { CommandError } from '../console/errors.ts';
import { withExamples } from '../console/help.ts';
import { withChoices } from '../console/options.ts';
import { note, print } from '../console/output.ts';
import { run } from '../sys/process.ts';
import { installCniCommand } from './cni/install-cni-command.ts';
import { install, installDocker, type Systemd, socketText, uninstall, unitText } from './install.ts';
import { type Daemon, environmentFile, UNITS } from './units.ts';

const SYSTEMD: Systemd = { directory: '/etc/systemd/system', run };

const PROGRAM = fileURLToPath(new URL('../../bin/tulle', import.meta.url));

export function installCommand(): Command {
  const command = new Command('install')
    .description(
      'Run a daemon as a systemd service, now and at every boot. Flags after -- are passed to the daemon. ' +
        `Variables, and especially secrets, belong in its environment file: ${environmentFile('agent')} and the like.`,
    )
    .addArgument(withChoices(new Argument('<daemon>', 'which one'), Object.keys(UNITS), 'a daemon'))
    .argument('[flags...]', 'flags of the daemon, after --')
    .option('--print', 'print the unit instead of installing it')
    .action(async (daemon: Daemon, flags: readonly string[], options: { readonly print?: true }) => {
      const unit = { program: PROGRAM, flags };
      if (options.print) {
        print(unitText(daemon, unit).trimEnd());
        return;
      }
      assertSystemd(`run \`tulle ${daemon}\` by other means`);
      const path = await install(SYSTEMD, daemon, unit);
      note(`wrote ${path} and started it; \`journalctl -u ${UNITS[daemon].file}\` shows its log`);
    });
  command.addCommand(installDockerCommand());
  command.addCommand(installCniCommand());
  return withExamples(command, [
    {
      line: 'install agent -- --etcd-endpoints=http://192.168.65.3:2379 --ip-masq',
      does: 'the agent, with its flags',
    },
    { line: 'install up', does: 'what `tulle up` runs on this host' },
    { line: 'install store', does: 'the store alone, on loopback' },
    { line: 'install agent --print', does: 'read the unit first' },
    { line: 'install docker', does: 'after one of them: systemd holds the socket of the Docker plugin' },
    { line: 'install cni', does: 'containerd, nerdctl and podman find Tulle' },
  ]);
}

function installDockerCommand(): Command {
  const command = new Command('docker')
    .description(
      'Have systemd hold the socket of the Docker plugin: what dockerd asks while the daemon of Tulle restarts, or ' +
        'before it runs, waits and is answered later. The daemon is restarted once; packets flow meanwhile.',
    )
    .option('--print', 'print the unit instead of installing it')
    .action(async (options: { readonly print?: true }) => {
      if (options.print) {
        print((await socketText(SYSTEMD)).trimEnd());
        return;
      }
      assertSystemd('the agent opens the socket itself, as long as it runs');
      const path = await installDocker(SYSTEMD);
      note(`wrote ${path}; try it: docker network create -d tulle --ipam-driver tulle blue`);
    });
  return withExamples(command, [
    { line: 'install up && tulle install docker', does: 'this host, and Docker on it' },
  ]);
}

export function uninstallCommand(): Command {
  const command = new Command('uninstall')
    .description(
      'Stop the daemons and remove their units. Containers can communicate until `tulle cleanup`. The data of the ' +
        'store is kept.',
    )
    .action(async () => {
      assertSystemd('no systemd unit can be installed here');
      const removed = await uninstall(SYSTEMD);
      for (const path of removed) print(path);
      note(
        removed.length === 0
          ? 'no systemd unit of Tulle is installed'
          : 'removed; `tulle cleanup` removes the rest',
      );
    });
  return withExamples(command, [{ line: 'uninstall && tulle cleanup', does: 'leave nothing behind' }]);
}

/** sd_booted(3). */
function assertSystemd(hint: string): void {
  if (existsSync('/run/systemd/system')) return;
  throw new CommandError('NOT_NOW', 'this machine does not run systemd', hint);
}
