/** `tulle lease`: who has which subnet. */
import { Argument, Command, Option } from 'commander';
import type { Ip } from '../base/ip.ts';
import { byFamily } from '../base/per-family.ts';
import { agentClient } from '../cli/agent-option.ts';
import { CommandError } from '../console/errors.ts';
import { withExamples } from '../console/help.ts';
import { offering } from '../console/offers.ts';
import { ipOf, jsonOption } from '../console/options.ts';
import { note } from '../console/output.ts';
import { untilStopped } from '../console/signals.ts';
import { listLeases, releaseLease, reserveSubnet, showLease, watchLeases } from './leases.ts';
import { addStoreOptions, type StoreCommandOptions, withRegistry } from './store-options.ts';

type WithJson = StoreCommandOptions & { readonly json?: true };

const LEASE = 'a subnet (10.5.34.0/24), a lease key, a public address, a host name or a host id';

export function leaseCommand(): Command {
  const command = new Command('lease').description(
    'The subnets of the network and the hosts that hold them.',
  );
  const list = addStoreOptions(command.command('list'))
    .description('List all leases and reservations, and the keys that are neither.')
    .addOption(jsonOption())
    .action((options: WithJson) => withRegistry(options, registry => listLeases(registry, options)));
  withExamples(list, [
    { line: 'lease list', does: 'every host of the network' },
    { line: "lease list --json | jq -r '.leases[].publicIp.ipv4'", does: 'their addresses, for a script' },
  ]);
  const show = addStoreOptions(command.command('show'))
    .description('Show one lease with everything that its host publishes.')
    .addArgument(offering(new Argument('<lease>', LEASE), 'hosts'))
    .addOption(jsonOption())
    .action((which: string, options: WithJson) =>
      withRegistry(options, registry => showLease(registry, which, options)),
    );
  withExamples(show, [{ line: 'lease show 192.168.65.4', does: 'what one host publishes to its peers' }]);
  const reserve = addStoreOptions(command.command('reserve'))
    .description('Reserve a subnet for a host permanently. No other host gets it.')
    .argument('<subnet>', 'the subnet (10.5.34.0/24); separate two families with a comma')
    .addOption(new Option('--public-ip <ip>', 'the host, by its public address').argParser(ipOf('ipv4')))
    .addOption(new Option('--public-ipv6 <ip>', 'the same for IPv6').argParser(ipOf('ipv6')))
    .addOption(offering(new Option('--host <name>', 'the host, by its name or its id'), 'hosts'))
    .action(
      (subnet: string, options: StoreCommandOptions & { publicIp?: Ip; publicIpv6?: Ip; host?: string }) =>
        withRegistry(options, registry =>
          reserveSubnet(registry, subnet, {
            ...options,
            publicIp: byFamily(...[options.publicIp, options.publicIpv6].filter(ip => ip !== undefined)),
          }),
        ),
    );
  withExamples(reserve, [
    {
      line: 'lease reserve 10.5.34.0/24 --public-ip 192.168.65.4',
      does: 'this host always gets this subnet',
    },
    { line: 'lease release 10.5.34.0/24', does: 'undo it' },
  ]);
  const free = addStoreOptions(command.command('release'))
    .description('Release a lease. Without an argument it is the lease of this host, whose agent then stops.')
    .addArgument(offering(new Argument('[lease]', LEASE), 'hosts'))
    .option('--force', 'release even a lease that has not expired')
    .action(release);
  withExamples(free, [
    { line: 'lease release', does: 'this host leaves the network' },
    { line: 'lease release 10.5.34.0/24 --force', does: 'free the subnet of a host that will not come back' },
  ]);
  const watch = addStoreOptions(command.command('watch'))
    .description('Print every change of a lease, until Ctrl-C: + added, ~ changed, - removed.')
    .addOption(new Option('--json', 'print one JSON document per line'))
    .action((options: WithJson) =>
      untilStopped(signal => withRegistry(options, registry => watchLeases(registry, signal, options))),
    );
  withExamples(watch, [{ line: 'lease watch', does: 'see hosts join and leave' }]);
  return withExamples(command, [
    { line: 'lease list', does: 'every host of the network' },
    { line: 'lease show 192.168.65.4', does: 'what one host publishes to its peers' },
    {
      line: 'lease reserve 10.5.34.0/24 --public-ip 192.168.65.4',
      does: 'this host always gets this subnet',
    },
    { line: 'lease release 10.5.34.0/24 --force', does: 'free the subnet of a host that will not come back' },
  ]);
}

async function release(
  which: string | undefined,
  options: StoreCommandOptions & { readonly force?: true },
): Promise<void> {
  if (which !== undefined) {
    await withRegistry(options, registry => releaseLease(registry, which, options.force === true));
    return;
  }
  const { released } = await agentClient(options).releaseLease();
  if (released === undefined) throw new CommandError('NOT_FOUND', 'this host holds no lease');
  note(`released ${released}; the agent stops`);
}
