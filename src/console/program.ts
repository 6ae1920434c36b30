/**
 * From a table of commands to a running one. Only the command that is asked for is loaded, so that a command
 * starts as fast as its own code allows: `tulle --help` loads none of them.
 *
 * Each command lives beside what it commands, in `src/<folder>/command.ts` (or `<thing>-command.ts`), which
 * exports a function that makes the commander Command:
 *
 *     export function labCommand(): Command {
 *       const command = new Command('lab').description('Hosts out of network namespaces on this machine.');
 *       command.command('up').option(...).action(async options => { ... });
 *       return withExamples(command, [{ line: 'lab up --hosts 3', does: 'three hosts on one machine' }]);
 *     }
 *
 * and is entered in the table of `src/main.ts`. Such a command
 * - parses values with the parsers of `options.ts`, so that all wrong values are reported at once,
 * - prints results with `output.ts` and `table.ts`, and as JSON with `--json`,
 * - throws a TulleError when it fails; `report.ts` turns it into a line, a hint and an exit status,
 * - sets `process.exitCode = EXIT.differs.status` when it worked and found things not as wanted,
 * - wraps work that lasts in `untilStopped` and work that takes over a second in `withProgress`.
 */
import { Command, type CommanderError } from 'commander';
import { packageVersion } from '../base/version.ts';
import { exitProcess } from '../sys/exit-process.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { HELP_OUTPUT, HELP_STYLE, withExamples } from './help.ts';
import { assertOptions } from './options.ts';
import { note } from './output.ts';
import { type Report, reportOf, reportOfDefect } from './report.ts';

export type CommandGroup = 'This host:' | 'The network:' | 'Try and measure:' | 'This program:';

export interface CommandEntry {
  readonly name: string;
  /** Half a line for the list in `tulle --help`. */
  readonly summary: string;
  /** The heading it is listed under. */
  readonly group: CommandGroup;
  /** Other programs of ours start it: it is in no list. */
  readonly isHidden?: true;
  /** Loads the module of the command and makes it. */
  readonly load: () => Promise<Command>;
}

/** Runs one command line and returns the exit status; errors have been printed on stderr. */
export async function runProgram(
  commands: readonly CommandEntry[],
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  process.stdout.off('error', onLostOutput).on('error', onLostOutput);
  process.stderr.off('error', ignore).on('error', ignore);
  try {
    const program = await buildProgram(commands, entry => entry.name === commandOf(argv));
    // commander prints help before it sees that there is no such command.
    await program.parseAsync(unknownCommand(program, argv) ?? withoutHelpCommand(argv), { from: 'user' });
    return Number(process.exitCode ?? EXIT.ok.status);
  } catch (error) {
    return report(reportOf(error, { stack: env['TULLE_DEBUG']?.includes('stack') === true }));
  }
}

/** Ends this process with a report of an uncaught error: the state of the process is unknown. */
export function endOnDefect(error: unknown): never {
  return exitProcess(report(reportOfDefect(error)));
}

/** The same for a failure that has a name and a way on, after which the process cannot go on either. */
export function endOnFailure(error: unknown): never {
  return exitProcess(report(reportOf(error, { stack: false })));
}

function report({ status, lines }: Report): number {
  for (const line of lines) note(line);
  return status;
}

/** The commander tree with the wanted commands loaded and the others as names to list and to suggest. */
export async function buildProgram(
  commands: readonly CommandEntry[],
  wanted: (entry: CommandEntry) => boolean,
): Promise<Command> {
  const program = new Command('tulle')
    .description('Containers on different Linux hosts reach each other by their own IP addresses.')
    .version(packageVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    // Inherited by all: a command and its subcommand may have options of the same name.
    .enablePositionalOptions()
    .commandsGroup('This program:')
    .helpCommand('help [command...]', 'show help for a command')
    .usage('<command> [options]')
    .configureHelp(HELP_STYLE)
    .configureOutput(HELP_OUTPUT)
    .exitOverride(error => {
      throw unknownCommandIn(program, error) ?? error;
    })
    .hook('preAction', (_, action) => assertOptions(action));
  for (const entry of commands) {
    const command = wanted(entry) ? await entry.load() : new Command(entry.name);
    const child = inheriting(program, command.summary(entry.summary).helpGroup(entry.group));
    program.addCommand(child, { hidden: entry.isHidden === true });
  }
  return withExamples(program, [
    { line: 'lab up --hosts 3', does: 'try it: three hosts on this machine' },
    {
      line: `config set '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}'`,
      does: 'configure a network, in the etcd on this machine',
    },
    { line: 'agent --ip-masq', does: 'join it' },
    { line: 'status', does: 'show the state of this host' },
  ]);
}

/** The first word that is not an option; for `tulle help status` it is `status`. */
function commandOf(argv: readonly string[]): string | undefined {
  const words = argv.filter(word => !word.startsWith('-'));
  return words[0] === 'help' ? words[1] : words[0];
}

/**
 * `help lab up` and `lab help up` as `lab up --help`: commander's own help command knows the first level only, and ends `help`
 * alone as if no command was given.
 */
export function withoutHelpCommand(argv: readonly string[]): readonly string[] {
  const [first = '', second, ...words] = argv;
  if (first === 'help') return [...argv.slice(1), '--help'];
  return second === 'help' && !first.startsWith('-') ? [first, ...words, '--help'] : argv;
}

/** Where help is asked for a command that is not there: the words up to its name. */
function unknownCommand(program: Command, argv: readonly string[]): readonly string[] | undefined {
  if (!['help', '--help', '-h'].some(word => argv.includes(word))) return undefined;
  const words = withoutHelpCommand(argv.slice(argv.findIndex(word => !word.startsWith('-'))));
  let command = program;
  for (const [index, word] of words.entries()) {
    const isName = !word.startsWith('-') && command.registeredArguments.length === 0;
    if (!isName || word === 'help' || command.commands.length === 0) return undefined;
    const child = command.commands.find(one => [one.name(), ...one.aliases()].includes(word));
    if (child === undefined) return words.slice(0, index + 1);
    command = child;
  }
  return undefined;
}

/** Of a word that is no command of this one, with the commands there are unless one of them is near. */
function unknownCommandIn(command: Command, error: CommanderError): CommandError | undefined {
  const isExcess = error.code === 'commander.excessArguments' && command.commands.length > 0;
  if (error.code !== 'commander.unknownCommand' && !isExcess) return undefined;
  const message = isExcess ? `unknown command '${command.args[0]}'` : error.message;
  const [what = '', suggestion] = message.replace(/^error: /, '').split('\n(Did you mean ');
  const all = command.commands.map(child => child.name()).join(', ');
  const near = suggestion?.replace('?)', '');
  const hint =
    near === undefined
      ? `the commands are ${all}`
      : `did you mean ${near.includes(', ') ? near : `'${near}'`}?`;
  return new CommandError('USAGE', what, hint);
}

/** Commander hands settings down only to commands it makes itself. */
function inheriting(parent: Command, command: Command): Command {
  command.copyInheritedSettings(parent).helpCommand(false);
  command.exitOverride(error => {
    throw unknownCommandIn(command, error) ?? error;
  });
  for (const child of command.commands) inheriting(command, child);
  return command;
}

/** Remarks whose reader is gone are lost; the exit status is right all the same. */
const ignore = () => undefined;

/** `tulle events | head -1`: the reader has seen enough, which is no failure. A full disk behind `>` is one. */
function onLostOutput(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') exitProcess(EXIT.ok.status);
  note(`tulle: error: the output could not be written: ${error.message}`);
  exitProcess(EXIT.failed.status);
}
