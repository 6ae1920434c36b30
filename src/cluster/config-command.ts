/** `tulle config`: the configuration of the network, as every host reads it from the store. */
import { readFileSync } from 'node:fs';
import { text as readAll } from 'node:stream/consumers';
import { Command, Option } from 'commander';
import { isCode } from '../base/errors.ts';
import { CommandError } from '../console/errors.ts';
import { withExamples } from '../console/help.ts';
import { jsonOption } from '../console/options.ts';
import { print, printJson } from '../console/output.ts';
import { EXAMPLE_CONFIG } from '../subnet/config/config.ts';
import { checkConfig, describeConfig, showConfig, writeConfig } from './config.ts';
import { addStoreOptions, type StoreCommandOptions, withRegistry } from './store-options.ts';

const SET_EXAMPLE = { line: `config set '${EXAMPLE_CONFIG}'`, does: 'a network for up to 255 hosts' };

const SOURCE = 'JSON text, the path of a file, or - for standard input';

export function configCommand(): Command {
  const command = new Command('config').description(
    'The configuration of the network. Every host follows a change of it without a restart.',
  );
  const get = addStoreOptions(command.command('get'))
    .description('Print the configuration in the store.')
    .option('--effective', 'what follows from it, defaults included')
    .addOption(new Option('--json', 'with --effective: print JSON, which what is stored is anyway'))
    .action((options: StoreCommandOptions & { json?: true; effective?: true }) =>
      withRegistry(options, registry => showConfig(registry, options)),
    );
  withExamples(get, [
    { line: 'config get', does: 'what is stored, as it was written' },
    { line: 'config get --effective', does: 'which subnets are given out' },
  ]);
  const set = addStoreOptions(command.command('set'))
    .description('Check a configuration and store it. What no host could use is refused.')
    .argument('<source>', SOURCE)
    .option('--force', 'also when hosts lose the subnets they have')
    .action(async (source: string, options: StoreCommandOptions & { force?: true }) => {
      const text = await read(source);
      const { config } = checkConfig(text);
      await withRegistry(options, registry => writeConfig(registry, text, config, options.force === true));
    });
  withExamples(set, [SET_EXAMPLE, { line: 'config set - < net-conf.json', does: 'from a file' }]);
  const validate = command
    .command('validate')
    .description('Check a configuration without a store, and show what follows from it.')
    .argument('<source>', SOURCE)
    .addOption(jsonOption())
    .action(async (source: string, { json }: { json?: true }) => {
      const { config } = checkConfig(await read(source));
      if (json) printJson(config);
      else print(describeConfig(config));
    });
  withExamples(validate, [
    { line: 'config validate net-conf.json', does: 'what is wrong with it, or what follows from it' },
  ]);
  return withExamples(command, [
    SET_EXAMPLE,
    { line: 'config validate net-conf.json', does: 'check a file before it is used' },
    { line: 'config get --effective', does: 'which subnets are given out' },
  ]);
}

async function read(source: string): Promise<string> {
  if (source === '-') return readAll(process.stdin);
  if (/^\s*[{[]/.test(source)) return source;
  try {
    return readFileSync(source, 'utf8');
  } catch (cause) {
    const hint = `want ${SOURCE}`;
    if (isCode(cause, 'ENOENT')) throw new CommandError('NOT_FOUND', `there is no file ${source}`, hint);
    const code = isCode(cause, 'EACCES', 'EPERM') ? 'FORBIDDEN' : 'FAILED';
    throw new CommandError(code, `${source} cannot be read`, hint, cause);
  }
}
