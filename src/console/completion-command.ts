/** `tulle completion`: prints the script that teaches a shell the commands and options of this program. */
import { Argument, Command, Option } from 'commander';
import { completionScript, SHELLS, type Shell } from './completion.ts';
import { CommandError } from './errors.ts';
import { withExamples } from './help.ts';
import { OFFERS, type Offer } from './offers.ts';
import { withChoices } from './options.ts';
import { print } from './output.ts';

/**
 * @param program makes the whole tree, every command loaded.
 * @param names finds the names of a kind that there are at the moment.
 */
export function completionCommand(
  program: () => Promise<Command>,
  names: (offer: Offer) => Promise<readonly string[]>,
): Command {
  const command = new Command('completion')
    .description('Print the completion script for a shell. It completes commands, options and fixed values.')
    .addArgument(withChoices(new Argument('[shell]', 'the shell to complete in'), SHELLS, 'a shell'))
    .addOption(
      withChoices(
        new Option('--offer <names>', 'what a script asks for').hideHelp(),
        OFFERS,
        'a kind of names',
      ),
    )
    .action(async (shell: Shell | undefined, { offer }: { readonly offer?: Offer }) => {
      if (offer !== undefined) for (const name of await names(offer)) print(name);
      else if (shell !== undefined) process.stdout.write(completionScript(shell, await program()));
      else throw new CommandError('USAGE', 'no shell is given', `give one of ${SHELLS.join(', ')}`);
    });
  return withExamples(command, [
    {
      line: 'completion bash > /etc/bash_completion.d/tulle',
      does: 'for every user of bash, from the next login on',
    },
    { line: 'completion zsh > "${fpath[1]}/_tulle"', does: 'for zsh' },
    { line: 'completion fish > ~/.config/fish/completions/tulle.fish', does: 'for fish' },
  ]);
}
