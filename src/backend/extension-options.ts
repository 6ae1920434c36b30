/**
 * The commands of an `extension` backend, as the configuration has them. Each is written in one of two forms:
 *
 *     "ip route add $SUBNET via $PUBLIC_IP"                    a text for sh(1), as flannel documents it
 *     ["ip", "route", "add", "$SUBNET", "via", "$PUBLIC_IP"]   a program and its arguments, started as they are
 *
 * Values come in through the environment and standard input, and are never made a part of a text that a shell reads. In
 * the second form `$NAME` and `${NAME}` stand for the variables of the command, and what they stand for stays one word.
 */
import type { Problem } from '../base/errors.ts';
import { Fields } from '../base/fields.ts';
import type { HostCommand } from '../dataplane/tables/commands.ts';
import { unusedOptions } from './options.ts';

const OF_NETWORK = ['NETWORK', 'IPV6NETWORK', 'PUBLIC_IP', 'PUBLIC_IPV6'] as const;
const OF_SUBNET = [...OF_NETWORK, 'SUBNET', 'IPV6SUBNET'] as const;

/** The variables of each command. */
const COMMANDS = {
  PreStartupCommand: OF_NETWORK,
  PostStartupCommand: OF_SUBNET,
  ShutdownCommand: OF_SUBNET,
  SubnetAddCommand: OF_SUBNET,
  SubnetRemoveCommand: OF_SUBNET,
} as const;

type CommandName = keyof typeof COMMANDS;
type Values = Readonly<Partial<Record<(typeof OF_SUBNET)[number], string>>>;

const NAMES = Object.keys(COMMANDS) as readonly CommandName[];

/** Seconds. */
const DEFAULT_TIMEOUT = 30;
const LONGEST_TIMEOUT = 3600;

export interface ExtensionOptions {
  /** As they are written; those that are not are absent. */
  readonly commands: Readonly<Partial<Record<CommandName, string | readonly string[]>>>;
  /** Milliseconds that each may take. */
  readonly timeout: number;
}

/** Appends to `problems` whatever is wrong, and to `warnings` what has no effect. */
export function parseExtensionOptions(
  options: Readonly<Record<string, unknown>>,
  problems: Problem[],
  warnings: Problem[] = [],
): ExtensionOptions {
  const fields = new Fields(options, 'Backend', problems);
  const commands = Object.fromEntries(
    NAMES.flatMap(name => {
      const command = readCommand(fields, name, problems);
      return command === undefined ? [] : [[name, command]];
    }),
  );
  const seconds = fields.integer('CommandTimeout', { min: 1, max: LONGEST_TIMEOUT }) ?? DEFAULT_TIMEOUT;
  warnings.push(...unusedOptions(fields, 'extension'));
  return { commands, timeout: seconds * 1000 };
}

function readCommand(
  fields: Fields,
  name: CommandName,
  problems: Problem[],
): string | readonly string[] | undefined {
  const value = fields.value(name) ?? undefined;
  // flannel runs nothing then.
  if (value === undefined || value === '') return undefined;
  const hint = 'write a text for sh, or a list of the program and its arguments';
  const words: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (words.length === 0 || words[0] === '') return fields.problem(name, 'names no program', hint);
  if (!isTexts(words)) return fields.problem(name, 'must be a string or a list of strings', hint);
  if (words.some(word => word.includes('\0'))) return fields.problem(name, 'has a NUL character', hint);
  if (!Array.isArray(value)) return words[0];
  for (const [index, word] of words.entries()) {
    for (const [text, plain, braced] of word.matchAll(VARIABLE)) {
      const variable = plain ?? braced ?? '';
      if (isOneOf(COMMANDS[name], variable)) continue;
      problems.push({
        path: `${fields.pathOf(name)}[${index}]`,
        value: word,
        message: `has ${text}, which is no variable of this command`,
        hint: `there are ${COMMANDS[name].join(', ')}`,
      });
    }
  }
  return words;
}

const isTexts = (words: readonly unknown[]): words is readonly string[] =>
  words.every(word => typeof word === 'string');

const isOneOf = (names: readonly string[], name: string) => names.includes(name);

const VARIABLE = /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g;

/**
 * A command with its values; undefined when the configuration has none of that name.
 * @param values a variable without one is empty
 * @param input a line of its standard input
 */
export function hostCommand(
  { commands, timeout }: ExtensionOptions,
  name: CommandName,
  values: Values,
  input = '',
): HostCommand | undefined {
  const command = commands[name];
  if (command === undefined) return undefined;
  const variables: Record<string, string> = Object.fromEntries(
    COMMANDS[name].map(variable => [variable, values[variable] ?? '']),
  );
  const words =
    typeof command === 'string'
      ? // Its errors become part of its output, in their order, as flannel takes them.
        ['/bin/sh', '-c', `exec 2>&1\n${command}`]
      : command.map(word =>
          word.replace(
            VARIABLE,
            (_, plain: string | undefined, braced: string | undefined) =>
              variables[plain ?? braced ?? ''] ?? '',
          ),
        );
  return { name, words, variables, input: `${input}\n`, timeout };
}
