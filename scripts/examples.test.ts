/** Whatever is shown as an example is accepted by what it is an example for: H7. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Command, Option } from 'commander';
import { parseOptions } from '../src/agent/options/options.ts';
import { ConfigError, formatProblem, type Problem, TulleError } from '../src/base/errors.ts';
import { Prefix } from '../src/base/prefix.ts';
import { checkConfig } from '../src/cluster/config.ts';
import { assertOptions, duration } from '../src/console/options.ts';
import { buildProgram } from '../src/console/program.ts';
import { storeConfig } from '../src/etcdserver/config.ts';
import { parseGoDuration } from '../src/etcdserver/go-duration.ts';
import { COMMANDS } from '../src/main.ts';
import { parseLeaseKey } from '../src/subnet/lease/key.ts';
import { planSegment } from '../src/subnet/segment/check-segment.ts';
import { contextOf } from '../src/subnet/segment/segment-context.ts';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

const SOURCES = globSync('src/**/*.ts', { cwd: ROOT }).filter(file => !file.endsWith('.test.ts'));
const PAGES = globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT });

test('H7: every configuration in help, hints and documents is one that every host can use', () => {
  const shown = [...SOURCES, ...PAGES].flatMap(file => jsonObjects(read(file)).map(text => ({ file, text })));
  const configs = shown.filter(({ text }) => /"(IPv6)?Network"/.test(text));
  assert.ok(configs.length >= 7, `only ${configs.length} were found`);
  for (const { file, text } of configs) {
    assert.deepEqual(checkConfig(text).warnings, [], `${file}: ${text}`);
  }
});

test('H7: every command in help is one that its parser takes', async () => {
  const lines =
    read('docs/reference/cli.md')
      .replaceAll(/ \\\n +/g, ' ')
      .match(/(?<=^ {2}\$ ).*/gm) ?? [];
  const commands = lines.flatMap(commandsIn);
  assert.ok(commands.length > 80, `only ${commands.length} were found`);
  for (const words of commands) await assert.doesNotReject(parseCommand(words), words.join(' '));
});

/** The words of every `tulle ...` in a line of shell, without what is redirected or piped on. */
function commandsIn(line: string): string[][] {
  const words = Array.from(
    line.matchAll(/([|<>&]+)|'([^']*)'|"([^"]*)"|([^\s'"|<>&]+)/g),
    ([, operator, single, double, bare]) => ({ operator, word: single ?? double ?? bare ?? '' }),
  );
  const commands: string[][] = [[]];
  for (const { operator, word } of words) {
    if (operator !== undefined) commands.push([]);
    else commands.at(-1)?.push(word);
  }
  return commands.filter(([program]) => program === 'tulle').map(([, ...args]) => args);
}

/** Parses as the program does, and does nothing. */
async function parseCommand(words: readonly string[]): Promise<void> {
  const program = await buildProgram(COMMANDS, ({ name }) => name === words[0]);
  let flags: readonly string[] | undefined;
  const disarm = (command: Command) => {
    command.action(() => {
      flags = ['agent', 'up'].includes(command.name()) ? command.args : undefined;
    });
    command.commands.forEach(disarm);
  };
  program.commands.forEach(disarm);
  await program.parseAsync(words, { from: 'user' });
  if (flags !== undefined) parseOptions(flags, {});
}

/** Every outermost JSON object in a text. */
function jsonObjects(text: string): string[] {
  const found: string[] = [];
  for (let start = text.indexOf('{'); start !== -1; start = text.indexOf('{', start + 1)) {
    const object = jsonObjectAt(text, start);
    if (object === undefined) continue;
    found.push(object);
    start += object.length - 1;
  }
  return found;
}

function jsonObjectAt(text: string, start: number): string | undefined {
  if (!/^\{\s*"/.test(text.slice(start, start + 40))) return undefined;
  for (let end = text.indexOf('}', start); end !== -1; end = text.indexOf('}', end + 1)) {
    const object = text.slice(start, end + 1);
    try {
      JSON.parse(object);
      return object;
    } catch {
      // The object goes on, or is none.
    }
  }
  return undefined;
}

describe('H7: every example in an error is accepted by what gave the error', () => {
  const network = '"Network": "10.5.0.0/16"';
  const backend = '"Backend": {"Type": "vxlan"}';
  const ipv6 = '"EnableIPv4": false, "EnableIPv6": true';
  /** By source: what gives the error, a text that it refuses, and where in such a text its example goes. */
  const givers: Readonly<Record<string, readonly Giver[]>> = {
    'src/etcdserver/go-duration.ts': [{ parse: parseGoDuration, wrong: 'x' }],
    'src/base/prefix.ts': [{ parse: Prefix.parse, wrong: 'x' }],
    'src/console/options.ts': [
      { parse: parsed(duration({ min: 0, max: Number.MAX_SAFE_INTEGER })), wrong: 'x' },
    ],
    'src/etcdserver/config.ts': [{ parse: retention, wrong: 'x' }],
    'src/subnet/lease/key.ts': [{ parse: parseLeaseKey, wrong: 'x' }],
    'src/subnet/segment/check-segment.ts': [
      { parse: (text: string) => segment(text), wrong: 'x' },
      { parse: (text: string) => segment(...text.split(' ').filter(word => word !== '')), wrong: '' },
    ],
    'src/subnet/config/config.ts': [
      { parse: checkConfig, wrong: '{' },
      { parse: checkConfig, wrong: '[]' },
      { parse: checkConfig, wrong: `{${network}, "Backend": 5}`, put: text => `{${network}, ${text}}` },
      { parse: checkConfig, wrong: `{${network}, "Backend": {}}`, put: text => `{${network}, ${text}}` },
    ],
    'src/subnet/config/family-config.ts': [
      { parse: checkConfig, wrong: `{${backend}}`, put: text => `{${text}, ${backend}}` },
      { parse: checkConfig, wrong: `{${ipv6}, ${backend}}`, put: text => `{${ipv6}, ${text}, ${backend}}` },
      ...['x', '0.0.0.0/0'].map(wrong => ({
        parse: (text: string) => checkConfig(`{"Network": "${text}", ${backend}}`),
        wrong,
      })),
      ...['x', '::/0'].map(wrong => ({
        parse: (text: string) => checkConfig(`{${ipv6}, "IPv6Network": "${text}", ${backend}}`),
        wrong,
      })),
    ],
  };

  for (const [source, of] of Object.entries(givers)) {
    for (const { parse, wrong, put = (text: string) => text } of of) {
      test(`${source}: ${wrong}`, () => {
        const examples = examplesIn(errorOf(() => parse(wrong)));
        assert.notEqual(examples.length, 0);
        for (const example of examples) assert.doesNotThrow(() => parse(put(example)), example);
      });
    }
  }

  test('no source is left out', () => {
    // The prose of an experiment gives no example of what a command takes.
    const sources = SOURCES.filter(file => !file.startsWith('src/lab/scenarios/'));
    const giving = sources.filter(file => /^[^*\n]*['"`][^'"`\n]*(for example|such as) /m.test(read(file)));
    // Their examples are configurations, as the first test finds them, or nothing that anybody would write.
    const others = [
      'network/apply-reporter.ts',
      'network/membership.ts',
      'network/segment/segment-report.ts',
      'host/cleanup-command.ts',
    ];
    assert.deepEqual(
      giving.filter(file => !others.includes(file.slice('src/'.length))).sort(),
      Object.keys(givers).sort(),
    );
  });
});

/** An option parser of `src/console/options.ts` leaves what is wrong with a value to the command it belongs to. */
function parsed(parser: (text: string) => unknown): (text: string) => void {
  return text => {
    const command = new Command().addOption(new Option('--value <v>').argParser(parser));
    assertOptions(command.parse(['--value', text], { from: 'user' }));
  };
}

function retention(autoCompactionRetention: string) {
  return storeConfig({
    name: 'default',
    dataDir: tmpdir(),
    listenClientUrls: ['http://127.0.0.1:2379'],
    quotaBackendBytes: '0',
    autoCompactionMode: 'periodic',
    autoCompactionRetention,
  });
}

/** A network of layer 2 with these subnets, in a cluster that has nothing else. */
function segment(...subnets: readonly string[]): void {
  const problems: Problem[] = [];
  planSegment({ name: 'blue', subnets }, contextOf(undefined, [], [], new Map()), problems);
  if (problems.length > 0) throw new ConfigError('network', problems);
}

interface Giver {
  readonly parse: (text: string) => unknown;
  readonly wrong: string;
  readonly put?: (example: string) => string;
}

function errorOf(work: () => unknown): TulleError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof TulleError);
    return error;
  }
  return assert.fail('it is no error');
}

/** What the sentence lists: `10s, 5m or 7d`. */
function examplesIn(error: TulleError): string[] {
  const texts = error instanceof ConfigError ? error.problems.map(formatProblem) : [error.message];
  return texts.flatMap(text => {
    const [, list = ''] = /(?:for example|such as) (.*?)\)?$/.exec(text) ?? [];
    return list.startsWith('{') || list.startsWith('"')
      ? [list]
      : list.split(/, | or /).filter(word => word !== '');
  });
}
