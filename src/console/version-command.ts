/** `tulle version`: the same as `tulle --version`. */
import { Command } from 'commander';
import { packageVersion } from '../base/version.ts';
import { withExamples } from './help.ts';
import { print } from './output.ts';

export function versionCommand(): Command {
  const command = new Command('version')
    .description('Print the version.')
    .action(() => print(packageVersion()));
  return withExamples(command, [{ line: 'version', does: 'show the installed version' }]);
}
