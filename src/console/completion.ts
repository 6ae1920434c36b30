/**
 * Completion scripts for the three common shells, made from the tree of commands, so that they cannot know
 * other options than the program. Pressing TAB starts the program only for names that it alone knows (offers.ts).
 */
import type { Command, Option } from 'commander';
import { type Offer, offerOf } from './offers.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What may follow at one place of the command line. */
interface Level {
  /** The commands typed so far, without `tulle`: `lab up`; empty at the top. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly Choice[];
  /** Values of the first argument. */
  readonly values: Values;
}

/** Fixed words, or the kind of names to ask the program for; empty when any text will do. */
type Values = Offer | readonly string[];

interface Choice {
  /** `--json`, `-h`. */
  readonly names: readonly string[];
  readonly description: string;
  /** undefined for an option without a value. */
  readonly values: Values | undefined;
}

export function completionScript(shell: Shell, program: Command): string {
  return SCRIPTS[shell](levelsOf(program));
}

const SCRIPTS: Readonly<Record<Shell, (levels: readonly Level[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

function levelsOf(command: Command, path: readonly string[] = []): Level[] {
  const view = command.createHelp();
  const children = view.visibleCommands(command);
  const level: Level = {
    path: path.join(' '),
    commands: children.map(child => ({
      name: child.name(),
      summary: firstLine(child.summary() || child.description()),
    })),
    options: view.visibleOptions(command).map(choiceOf),
    values: command.registeredArguments[0] === undefined ? [] : offerOf(command.registeredArguments[0]),
  };
  // `help` is no child but commander's own, and what may follow it are the others.
  const help = children.find(child => !command.commands.includes(child));
  const shown = command.commands.filter(child => children.includes(child));
  const others = shown.map(child => child.name());
  return [
    level,
    ...shown.flatMap(child =>
      [child.name(), ...child.aliases()].flatMap(name => levelsOf(child, [...path, name])),
    ),
    ...(help === undefined ? [] : [{ path: help.name(), commands: [], options: [], values: others }]),
  ];
}

const choiceOf = (option: Option): Choice => ({
  names: [option.long, option.short].filter(name => name !== undefined),
  description: firstLine(option.description),
  values: option.required || option.optional ? offerOf(option) : undefined,
});

function bashScript(levels: readonly Level[]): string {
  const withValues = levels.flatMap(({ path, options }) =>
    options
      .filter(({ values }) => values !== undefined)
      .map(({ names, values = [] }) => ({ patterns: names.map(name => `${path} ${name}`), values })),
  );
  return `# bash completion for tulle
_tulle() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path= word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="$path \${COMP_WORDS[i]}"
    case "\${word# }" in
      ${
        levels
          .slice(1)
          .map(({ path }) => quote(path))
          .join('|') || "''"
      }) path=\${word# } ;;
    esac
  done
  case "$path $previous" in
${withValues
  .map(({ patterns, values }) => `    ${patterns.map(quote).join('|')}) ${bashReply(values)}; return ;;`)
  .join('\n')}
  esac
  case "$path" in
${levels
  .map(({ path, commands, options, values }) => {
    const flags = options.flatMap(({ names }) => names);
    const words = typeof values === 'string' ? values : [...commands.map(({ name }) => name), ...values];
    return `    ${quote(path)})
      case "$current" in
        -*) ${bashReply(flags)} ;;
        *) ${bashReply(words)} ;;
      esac ;;`;
  })
  .join('\n')}
  esac
}
complete -o default -F _tulle tulle
`;
}

/** An empty reply leaves the word to bash's own completion of file names. */
const bashReply = (values: Values) => {
  if (values.length === 0) return 'COMPREPLY=()';
  const words = typeof values === 'string' ? `"$(${ask(values)})"` : quote(values.join(' '));
  return `mapfile -t COMPREPLY < <(compgen -W ${words} -- "$current")`;
};

/** The names of a kind, a line each; none where the program cannot know. */
const ask = (offer: Offer) => `tulle completion --offer ${offer} 2>/dev/null`;

function zshScript(levels: readonly Level[]): string {
  const describe = (items: readonly (readonly [string, string])[]) =>
    items.map(([word, text]) => quote(`${word.replaceAll(':', '\\:')}:${text}`)).join(' ');
  return `#compdef tulle
# zsh completion for tulle
_tulle() {
  local path= word i
  local -a commands options
  for ((i = 2; i < CURRENT; i++)); do
    word="$path \${words[i]}"
    case "\${word# }" in
      ${
        levels
          .slice(1)
          .map(({ path }) => `(${quote(path)})`)
          .join('|') || "('')"
      }) path=\${word# } ;;
    esac
  done
  case "$path \${words[CURRENT-1]}" in
${levels
  .flatMap(({ path, options }) =>
    options
      .filter(({ values }) => values !== undefined)
      .map(
        ({ names, values = [] }) =>
          `    ${names.map(name => `(${quote(`${path} ${name}`)})`).join('|')}) ${
            values.length === 0 ? '_files' : `compadd -- ${zshWords(values)}`
          }; return ;;`,
      ),
  )
  .join('\n')}
  esac
  case "$path" in
${levels
  .map(({ path, commands, options, values }) => {
    if (typeof values === 'string') {
      return `    (${quote(path)})
      [[ \${words[CURRENT]} == -* ]] || { compadd -- ${zshWords(values)}; return }
      options=(${describe(optionWords(options))}) ;;`;
    }
    const words = [...commands.map(({ name, summary }) => [name, summary] as const), ...values.map(pair)];
    return `    (${quote(path)})
      commands=(${describe(words)})
      options=(${describe(optionWords(options))}) ;;`;
  })
  .join('\n')}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then _describe option options
  elif (( \${#commands} )); then _describe command commands
  else _files; fi
}
compdef _tulle tulle
`;
}

const optionWords = (options: readonly Choice[]) =>
  options.flatMap(({ names, description }) => names.map(name => [name, description] as const));

const zshWords = (values: Values) =>
  typeof values === 'string' ? `\${(f)"$(${ask(values)})"}` : values.map(quote).join(' ');

const pair = (value: string): readonly [string, string] => [value, ''];

function fishScript(levels: readonly Level[]): string {
  const lines = levels.flatMap(({ path, commands, options, values }) => {
    const at = `-n ${quote(`__tulle_at ${quote(path)}`)}`;
    return [
      ...commands.map(
        ({ name, summary }) => `complete -c tulle -f ${at} -a ${quote(name)} -d ${quote(summary)}`,
      ),
      ...(values.length === 0 ? [] : [`complete -c tulle -f ${at} -a ${fishWords(values)}`]),
      ...options.map(option => fishOption(at, option)),
    ];
  });
  return `# fish completion for tulle
function __tulle_at
    set -l path
    for word in (commandline -opc)[2..]
        set -l longer (string join ' ' -- $path $word)
        if contains -- $longer ${levels
          .slice(1)
          .map(({ path }) => quote(path))
          .join(' ')}
            set path $longer
        end
    end
    test "$path" = "$argv"
end
${lines.join('\n')}
`;
}

function fishOption(at: string, { names, description, values }: Choice): string {
  const flags = names.map(name =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `${name.length === 2 ? '-s' : '-o'} ${name.slice(1)}`,
  );
  const argument = values === undefined ? '' : values.length === 0 ? ' -r' : ` -x -a ${fishWords(values)}`;
  return `complete -c tulle ${at} ${flags.join(' ')}${argument} -d ${quote(description)}`;
}

const fishWords = (values: Values) =>
  quote(typeof values === 'string' ? `(${ask(values)})` : values.join(' '));

/** For all three shells a single-quoted word, with a quote in it closed, escaped and opened again. */
const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

const firstLine = (text: string) => text.split('\n', 1)[0] ?? '';
