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
    'The configuration of the network. Hosts apply a change without a restart.',
  );
  const get = addStoreOptions(command.command('get'))
    .description('Print the configuration in the store.')
    .option('--effective', 'print the effective values, including defaults')
    .addOption(new Option('--json', 'print JSON (the stored configuration is JSON in any case)'))
    .action((options: StoreCommandOptions & { json?: true; effective?: true }) =>
      withRegistry(options, registry => showConfig(registry, options)),
    );
  withExamples(get, [
    { line: 'config get', does: 'the stored configuration, as it was written' },
    { line: 'config get --effective', does: 'which subnets hosts can get' },
  ]);
  const set = addStoreOptions(command.command('set'))
    .description('Check a configuration and store it. One that no host could use is refused.')
    .argument('<source>', SOURCE)
    .option('--force', 'store it even if hosts lose their subnets')
    .action(async (source: string, options: StoreCommandOptions & { force?: true }) => {
      const text = await read(source);
      const { config } = checkConfig(text);
      await withRegistry(options, registry => writeConfig(registry, text, config, options.force === true));
    });
  withExamples(set, [SET_EXAMPLE, { line: 'config set - < net-conf.json', does: 'from a file' }]);
  const validate = command
    .command('validate')
    .description('Check a configuration without a store, and show its effective values.')
    .argument('<source>', SOURCE)
    .addOption(jsonOption())
    .action(async (source: string, { json }: { json?: true }) => {
      const { config } = checkConfig(await read(source));
      if (json) printJson(config);
      else print(describeConfig(config));
    });
  withExamples(validate, [
    { line: 'config validate net-conf.json', does: 'show its problems, or its effective values' },
  ]);
  return withExamples(command, [
    SET_EXAMPLE,
    { line: 'config validate net-conf.json', does: 'check a file before it is used' },
    { line: 'config get --effective', does: 'which subnets hosts can get' },
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
