/** How help looks: examples at its end, colour on terminals, lines no wider than a page. */
import { styleText } from 'node:util';
import type { Command, HelpConfiguration, OutputConfiguration } from 'commander';

const WIDEST = 100;

export interface Example {
  /** The command line without `tulle`: `lab up --hosts 3`. */
  readonly line: string;
  /** What it does, in a few words. */
  readonly does: string;
}

/** Adds an `Examples:` section to the end of a command's help. */
export function withExamples(command: Command, examples: readonly Example[]): Command {
  const lines = examples.map(({ line, does }) => `  # ${does}\n  $ tulle ${line}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n\n')}`);
}

/** Bold headings; commander strips colour from help that does not go to a terminal. */
export const HELP_STYLE: HelpConfiguration = {
  styleTitle: title => styleText('bold', title, { validateStream: false }),
  styleCommandText: text => styleText('cyan', text, { validateStream: false }),
  styleSubcommandText: text => styleText('cyan', text, { validateStream: false }),
  styleOptionText: text => styleText('cyan', text, { validateStream: false }),
};

/** Errors are told by `report.ts`, so commander itself says nothing about them. */
export const HELP_OUTPUT: OutputConfiguration = {
  getOutHelpWidth: () => Math.min(process.stdout.columns ?? WIDEST, WIDEST),
  getErrHelpWidth: () => Math.min(process.stderr.columns ?? WIDEST, WIDEST),
  outputError: () => undefined,
};
