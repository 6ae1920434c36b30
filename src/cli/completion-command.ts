/** `tulle completion`: prints the script that teaches a shell the commands and options of this program. */
import { Argument, Command } from 'commander';
import { completionScript, SHELLS, type Shell } from './completion.ts';
import { withExamples } from './help.ts';
import { withChoices } from './options.ts';

/** @param program makes the whole tree, every command loaded. */
export function completionCommand(program: () => Promise<Command>): Command {
  const command = new Command('completion')
    .description('Print the completion script for a shell. It completes commands, options and fixed values.')
    .addArgument(withChoices(new Argument('<shell>', 'the shell to complete in'), SHELLS, 'a shell'))
    .action(async (shell: Shell) => {
      process.stdout.write(completionScript(shell, await program()));
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
