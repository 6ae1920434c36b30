/** `tulle up`: one command for the first host, and one for every further one. */
import { Command, type Help, Option } from 'commander';
import { answerInformation, flagOptions, INFORMATION_OPTIONS } from '../agent/command.ts';
import { parseOptions } from '../agent/options/options.ts';
import { ConfigError } from '../base/errors.ts';
import { FAMILY_LABELS } from '../base/ip.ts';
import { byFamily, type PerFamily } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { STORE_DIRECTORY } from '../console/defaults.ts';
import { withExamples } from '../console/help.ts';
import { port, prefix, repeated, value } from '../console/options.ts';
import { requireNetworkAdmin } from '../console/require-root.ts';
import { STOP_PATIENCE, untilStopped } from '../console/signals.ts';

interface Options {
  readonly join?: string;
  readonly network?: readonly Prefix[];
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
        'on a first host: the network to take subnets from; repeat it to have IPv4 and IPv6 (default: 10.244.0.0/16, or ' +
          'another if this host uses that; a random one of fd00::/8 if this host has no IPv4)',
      ).argParser(repeated(prefix)),
    )
    .addOption(
      new Option('--port <port>', 'on a first host: where the store listens').default(2379).argParser(port),
    )
    .addOption(
      new Option('--data-dir <dir>', 'on a first host: where the store keeps its data')
        .default(STORE_DIRECTORY)
        .argParser(value(text => text)),
    )
    .action(async (flags: readonly string[], { join, network: given = [], port: at, dataDir }: Options) => {
      if (answerInformation(command, flags)) return;
      const { parseToken } = await import('../trust/token.ts');
      const token = join === undefined ? undefined : parseToken(join);
      const network = onePerFamily(given);
      const agent = parseOptions(flags, process.env);
      requireNetworkAdmin('the agent changes the network of this host');
      const { up } = await import('./up.ts');
      const options = { network, port: at, dataDir, agent };
      await untilStopped(signal => up({ ...options, ...(token && { token }) }, signal), {
        within: STOP_PATIENCE,
      });
    });
  return withExamples(command, [
    { line: 'up', does: 'the first host: store and agent' },
    { line: 'up --join tulle1.AbCd...', does: 'a further host' },
    { line: 'up --network 188.172.0.0/16 --iface=eth1', does: 'choose the network and the interface' },
    { line: 'up --network 10.244.0.0/16 --network fd5c:1e6:77b0::/48', does: 'both address families' },
  ]);
}

/** @throws ConfigError for two networks of one family */
function onePerFamily(networks: readonly Prefix[]): PerFamily<Prefix> {
  const byFirst = byFamily(...networks.toReversed());
  const surplus = networks.filter(network => network !== byFirst[network.family]);
  if (surplus.length === 0) return byFirst;
  throw new ConfigError(
    'command line',
    surplus.map(network => ({
      path: '--network',
      value: network.toString(),
      message: `is the second of ${FAMILY_LABELS[network.family]}, and a network has one of each family`,
    })),
  );
}
