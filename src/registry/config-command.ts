/** `tulle config`: the configuration of the network, as every host reads it from the store. */
import { readFileSync } from 'node:fs';
import { text as readAll } from 'node:stream/consumers';
import { Command } from 'commander';
import { withExamples } from '../cli/help.ts';
import { jsonOption } from '../cli/options.ts';
import { print, printJson } from '../cli/output.ts';
import { checkConfig, describeConfig, showConfig, storeConfig } from './config.ts';
import { addStoreOptions, type StoreCommandOptions, withRegistry } from './store-options.ts';

const SOURCE = 'JSON text, the path of a file, or - for standard input';

export function configCommand(): Command {
  const command = new Command('config').description(
    'The configuration of the network. Every host follows a change of it without a restart.',
  );
  addStoreOptions(command.command('get'))
    .description('Print the configuration in the store.')
    .option('--effective', 'what follows from it, defaults included')
    .addOption(jsonOption())
    .action((options: StoreCommandOptions & { json?: true; effective?: true }) =>
      withRegistry(options, registry => showConfig(registry, options)),
    );
  addStoreOptions(command.command('set'))
    .description('Check a configuration and store it. What no host could use is refused.')
    .argument('<source>', SOURCE)
    .option('--force', 'also when hosts lose the subnets they have')
    .action(async (source: string, options: StoreCommandOptions & { force?: true }) => {
      const text = await read(source);
      const { config } = checkConfig(text);
      await withRegistry(options, registry => storeConfig(registry, text, config, options.force === true));
    });
  command
    .command('validate')
    .description('Check a configuration without a store, and show what follows from it.')
    .argument('<source>', SOURCE)
    .addOption(jsonOption())
    .action(async (source: string, { json }: { json?: true }) => {
      const { config } = checkConfig(await read(source));
      if (json) printJson(config);
      else print(describeConfig(config));
    });
  return withExamples(command, [
    {
      line: `config set '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}'`,
      does: 'a network for up to 255 hosts',
    },
    { line: 'config validate net-conf.json', does: 'check a file before it is used' },
    { line: 'config get --effective', does: 'which subnets are given out' },
  ]);
}

async function read(source: string): Promise<string> {
  if (source === '-') return readAll(process.stdin);
  return source.trimStart().startsWith('{') ? source : readFileSync(source, 'utf8');
}
