/** How help looks: examples at its end, colour on terminals, lines no wider than a page. */
import { styleText } from 'node:util';
import { type Command, Help, type HelpConfiguration, type OutputConfiguration } from 'commander';
import { wrapTo } from './fold.ts';
import { wrapCommand } from './table.ts';

const WIDEST = 100;
/** Less is no width that anybody reads in. */
const NARROWEST = 40;

/** A description is given at least this many columns beside what it describes, and stands below it, indented, otherwise. */
const LEAST_BESIDE = 30;
const BELOW = 6;

export interface Example {
  /** The command line without `tulle`: `lab up --hosts 3`. */
  readonly line: string;
  /** What it does, in a few words. */
  readonly does: string;
}

/** Adds an `Examples:` section to the end of a command's help. */
export function withExamples(command: Command, examples: readonly Example[]): Command {
  return command.addHelpText('after', () => {
    const width = helpWidth(process.stdout.columns);
    const lines = examples.map(
      ({ line, does }) => `${wrapTo(`  # ${does}`, 4, width)}\n${commandLine(`  $ tulle ${line}`, width)}`,
    );
    return `\nExamples:\n${lines.join('\n\n')}`;
  });
}

/** What goes on ends with a backslash, so that it can be copied; within quotes that would be a part of the text. */
const commandLine = (line: string, width: number): string =>
  line.includes("'") ? line : wrapCommand(line, 6, width);

/** Bold headings, and lines that fit; commander strips colour from help that does not go to a terminal. */
export const HELP_STYLE: HelpConfiguration = {
  minWidthToWrap: LEAST_BESIDE,
  formatItem(term, termWidth, description, helper) {
    const width = helper.helpWidth ?? WIDEST;
    if (description === '' || width - termWidth - 4 >= LEAST_BESIDE)
      return Help.prototype.formatItem.call(helper, term, termWidth, description, helper);
    const start = `\n${' '.repeat(BELOW)}`;
    return `  ${term}${start}${helper.boxWrap(description, width - BELOW).replaceAll('\n', start)}`;
  },
  styleTitle: title => styleText('bold', title, { validateStream: false }),
  styleCommandText: text => styleText('cyan', text, { validateStream: false }),
  styleSubcommandText: text => styleText('cyan', text, { validateStream: false }),
  styleOptionText: text => styleText('cyan', text, { validateStream: false }),
};

/** What a shell says in COLUMNS counts where there is no terminal, as in a pipe to a pager. @param columns of the terminal */
function helpWidth(columns: number | undefined): number {
  const stated = Number(process.env['COLUMNS']);
  return Math.min(columns ?? (Number.isInteger(stated) && stated >= NARROWEST ? stated : WIDEST), WIDEST);
}

/** Errors are printed by `report.ts`, so commander itself says nothing about them. */
export const HELP_OUTPUT: OutputConfiguration = {
  getOutHelpWidth: () => helpWidth(process.stdout.columns),
  getErrHelpWidth: () => helpWidth(process.stderr.columns),
  outputError: () => undefined,
};
