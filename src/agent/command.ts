/**
 * `tulle agent`: the daemon's command line. Its flags are read by our own parser, because flannel's users write
 * them as Go's flag package reads them; commander only finds the command and prints its help.
 */
import { flushCompileCache } from 'node:module';
import { Command, type Help, Option } from 'commander';
import { packageVersion } from '../base/version.ts';
import { withExamples } from '../console/help.ts';
import { print } from '../console/output.ts';
import { requireNetworkAdmin } from '../console/require-root.ts';
import { STOP_PATIENCE, untilStopped } from '../console/signals.ts';
import { FLAG_GROUPS, type Flag } from './options/flag.ts';
import { FLAGS } from './options/flags.ts';
import { informationWanted } from './options/option-reader.ts';
import { parseOptions } from './options/options.ts';

export const INFORMATION_OPTIONS: readonly Option[] = [
  new Option('--version', 'print the version'),
  new Option('-h, --help', 'show help'),
];

/** A command whose help lists our flags although commander never parses them. */
class AgentCommand extends Command {
  override createHelp(): Help {
    return Object.assign(super.createHelp(), {
      visibleArguments: () => [],
      visibleOptions: () => [...flagOptions(), ...INFORMATION_OPTIONS],
    });
  }
}

export function agentCommand(): Command {
  const command = new AgentCommand('agent')
    .description(
      'The daemon of one host: leases a subnet, maintains the tunnels to all peers, and writes the file that Docker ' +
        "and CNI read. Accepts flannel's flags, with one dash or two, and flannel's variables.",
    )
    .usage('[flags]')
    .allowUnknownOption()
    .argument('[flags...]')
    .action(async () => {
      if (answerInformation(command, command.args)) return;
      const options = parseOptions(command.args, process.env);
      requireNetworkAdmin('the agent changes the network of this host');
      // Loaded only now: help and a wrong flag should answer at once.
      const { runAgent } = await import('./run-agent.ts');
      // Node writes its compile cache at exit, which a daemon may never reach in good order.
      flushCompileCache();
      await untilStopped(signal => runAgent(options, signal), { within: STOP_PATIENCE });
    })
    .addHelpText(
      'after',
      `
Variables:
  Every flag is also read from the environment: TULLE_<FLAG>, then
  FLANNELD_<FLAG>, in upper case and with _ for -. The command line takes
  precedence. An empty variable counts as unset.

Signals:
  SIGTERM, SIGINT  stop; the network stays in place, and the lease too unless
                   --release-lease is given`,
    );
  return withExamples(command, [
    { line: 'agent --etcd-endpoints=http://192.168.65.3:2379 --iface=eth0', does: 'join a network' },
    {
      line: 'agent --ip-masq --healthz-port=8080',
      does: 'let containers reach the internet, and serve /readyz',
    },
    {
      line: 'agent --etcd-endpoints=https://etcd:2379 --etcd-cafile=/etc/tulle/ca.pem',
      does: 'trust one certificate authority',
    },
  ]);
}

/** Answers a command line that asks for a text instead of a start; false when it does not. */
export function answerInformation(command: Command, args: readonly string[]): boolean {
  const wanted = informationWanted(args);
  if (wanted === 'help') command.help();
  if (wanted === 'version') print(packageVersion());
  return wanted !== undefined;
}

/** The agent's flags as commander shows them in help. */
export function flagOptions(except: readonly Flag['group'][] = []): Option[] {
  return FLAGS.filter(({ group }) => !except.includes(group)).map(toOption);
}

function toOption(flag: Flag): Option {
  const value = flag.kind === 'boolean' ? (flag.default ? '=false' : '') : ` <${flag.value}>`;
  const shown =
    flag.kind === 'boolean' || flag.default === ''
      ? ''
      : ` (default: ${String(flag.default).replaceAll(',', ', ')})`;
  return new Option(`--${flag.name}${value}`, `${flag.help}${shown}`).helpGroup(FLAG_GROUPS[flag.group]);
}
