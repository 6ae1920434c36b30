/** I6: every command line of ours in the documents, and in what the program says, is one that the program takes. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CommanderError } from 'commander';
import { parseOptions } from '../src/agent/options/options.ts';
import { checkConfig } from '../src/cluster/config.ts';
import { buildProgram, withoutHelpCommand } from '../src/console/program.ts';
import { unitText } from '../src/host/install.ts';
import { type Daemon, UNITS } from '../src/host/units.ts';
import { COMMANDS } from '../src/main.ts';
import { argumentsOfTulle, commandsIn } from '../test/support/shell-words.ts';

const ROOT = join(import.meta.dirname, '..');
const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  ...globSync('docs/**/*.md', { cwd: ROOT }),
];

/** Stops a command before it does anything, once its command line has been read. */
class Read extends Error {}

/** @throws the error that the program would print for this command line */
async function read(args: readonly string[]): Promise<void> {
  const [name] = args;
  const program = await buildProgram(COMMANDS, entry => entry.name === name);
  program.hook('preAction', (_, command) => {
    checkBeyond(args, command.args);
    throw new Read();
  });
  try {
    await program.parseAsync(withoutHelpCommand(args), { from: 'user' });
  } catch (error) {
    // `tulle lab` alone shows its help, which is what a text that names it means.
    const isHelp =
      error instanceof CommanderError && (error.exitCode === 0 || error.code === 'commander.help');
    if (!(error instanceof Read) && !isHelp) throw error;
  }
}

/** What commander hands on unread, and the action would read first. */
function checkBeyond([name, second = '']: readonly string[], given: readonly string[]): void {
  if (name === 'agent') parseOptions(given, {});
  if (name === 'install' && second in UNITS)
    unitText(second as Daemon, { program: '/bin/tulle', flags: given.slice(1) });
  const source = given[0] ?? '';
  if (name === 'config' && ['set', 'validate'].includes(second) && source.startsWith('{'))
    checkConfig(source);
}

/** A line that only stands for others is no command line: `tulle ...`. */
const isWhole = (args: readonly string[]) => !args.some(word => word === '...' || word.startsWith('['));

/** Words in capitals that stand for a value which must be one. */
const PLACEHOLDERS: Readonly<Record<string, string>> = { IP: '192.0.2.1' };

/** What is missing from a line that only names a command or an option, as a sentence does. */
const MISSING = ['missingArgument', 'optionMissingArgument', 'missingMandatoryOptionValue'];

const isMention = (error: unknown) =>
  error instanceof CommanderError && MISSING.some(code => error.code === `commander.${code}`);

async function refusals(lines: readonly string[], mayMention = false): Promise<string[]> {
  const refused: string[] = [];
  for (const args of lines.flatMap(line => argumentsOfTulle(commandsIn(line))).filter(isWhole)) {
    await read(args.map(word => PLACEHOLDERS[word] ?? word)).catch((error: Error) => {
      if (!mayMention || !isMention(error)) refused.push(`tulle ${args.join(' ')}: ${error.message}`);
    });
  }
  return refused;
}

const fences = (text: string) =>
  Array.from(text.matchAll(/^```(?:sh|bash|text|console)?\n([\s\S]*?)^```/gm), ([, block = '']) => block);
/** Where a comment in a block names another command; Docker's drivers have our name as well. */
const comments = (block: string) =>
  Array.from(block.matchAll(/#.*?(?<!-d |driver )\b((?:\.\/bin\/)?tulle [^\n`]*)/g), ([, line = '']) => line);
const spans = (text: string) =>
  Array.from(
    text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/`((?:\.\/bin\/)?tulle [^`$\n]+)`/g),
    ([, line = '']) => line,
  );

describe('I6: command lines', () => {
  for (const document of DOCUMENTS) {
    test(`in ${document}`, async () => {
      const text = readFileSync(join(ROOT, document), 'utf8');
      const blocks = fences(text);
      const lines = [...blocks.flatMap(block => block.split(/(?<!\\)\n/)), ...blocks.flatMap(comments)];
      assert.deepEqual(await refusals(lines), []);
      assert.deepEqual(await refusals(spans(text), true), []);
    });
  }

  test('in hints and messages of the program', async () => {
    const files = globSync('src/**/*.ts', { cwd: ROOT }).filter(file => !file.endsWith('.test.ts'));
    const lines = files.flatMap(file => spans(readFileSync(join(ROOT, file), 'utf8').replaceAll('\\`', '`')));
    assert.ok(lines.length > 20);
    assert.deepEqual(await refusals(lines, true), []);
  });
});
