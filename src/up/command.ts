/** `tulle up`: one command for the first host, and one for every further one. */
import { Command, type Help, Option } from 'commander';
import { answerInformation, flagOptions, INFORMATION_OPTIONS } from '../agent/command.ts';
import { parseOptions } from '../agent/options/options.ts';
import type { Prefix } from '../base/prefix.ts';
import { STORE_DIRECTORY } from '../console/defaults.ts';
import { withExamples } from '../console/help.ts';
import { port, prefix, value } from '../console/options.ts';
import { requireNetworkAdmin } from '../console/require-root.ts';
import { STOP_PATIENCE, untilStopped } from '../console/signals.ts';

interface Options {
  readonly join?: string;
  readonly network?: Prefix;
  readonly port: number;
  readonly dataDir: string;
}

/** Its own options, and those of the agent that `up` does not decide itself. */
class UpCommand extends Command {
  override createHelp(): Help {
    const help = super.createHelp();
    return Object.assign(help, {
      visibleArguments: () => [],
      visibleOptions: () => [...this.options, ...flagOptions(['store']), ...INFORMATION_OPTIONS],
    });
  }
}

export function upCommand(): Command {
  const command = new UpCommand('up')
    .description(
      'Start this host. The first host of a network also runs the store for all hosts, with certificates on both ' +
        'sides. Further hosts join with a token, which `tulle store token` prints on the first. After a restart each ' +
        'keeps its role, and the token is not needed again. With an etcd cluster, use `tulle agent` instead.',
    )
    .usage('[options] [agent flags]')
    .allowUnknownOption()
    .argument('[flags...]')
    .addOption(
      new Option('--join <token>', 'join the network of this token')
        .env('TULLE_JOIN_TOKEN')
        .argParser(value(text => text)),
    )
    .addOption(
      new Option(
        '--network <cidr>',
        'on a first host: the network to take subnets from (default: 10.244.0.0/16, or another if this host uses that)',
      ).argParser(prefix),
    )
    .addOption(
      new Option('--port <port>', 'on a first host: where the store listens').default(2379).argParser(port),
    )
    .addOption(
      new Option('--data-dir <dir>', 'on a first host: where the store keeps its data')
        .default(STORE_DIRECTORY)
        .argParser(value(text => text)),
    )
    .action(async (flags: readonly string[], { join, network, port: at, dataDir }: Options) => {
      if (answerInformation(command, flags)) return;
      const { parseToken } = await import('../trust/token.ts');
      const token = join === undefined ? undefined : parseToken(join);
      const agent = parseOptions(flags, process.env);
      requireNetworkAdmin('the agent changes the network of this host');
      const { up } = await import('./up.ts');
      const options = { ...(network && { network }), port: at, dataDir, agent };
      await untilStopped(signal => up({ ...options, ...(token && { token }) }, signal), {
        within: STOP_PATIENCE,
      });
    });
  return withExamples(command, [
    { line: 'up', does: 'the first host: store and agent' },
    { line: 'up --join tulle1.AbCd...', does: 'a further host' },
    { line: 'up --network 188.172.0.0/16 --iface=eth1', does: 'choose the network and the interface' },
  ]);
}
