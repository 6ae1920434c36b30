/**
 * The reference pages that can be made from the code are made from it: `npm run docs` writes them, and
 * docs.test.ts fails when a page in the repository is not the one the code would give.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { exposeMetrics } from '../src/agent/health/metrics.ts';
import { DEFAULT_SOCKET } from '../src/api/messages.ts';
import { EXIT, OUTCOME_OF_CODE, SIGNAL_BASE } from '../src/console/exit-codes.ts';
import { buildProgram } from '../src/console/program.ts';
import { COMMANDS } from '../src/main.ts';
import { CNI_KEYS } from '../src/plugin/cni/cni-config.ts';
import { CNI_CODES, type CniErrorCode } from '../src/plugin/cni/cni-error.ts';
import { CNI_VERSIONS } from '../src/plugin/launcher/launcher.ts';
import { writeFileAtomic } from '../src/sys/file.ts';
import { fastPath, healthyPeer, status, T0 } from '../test/support/status.ts';
import { pictures } from './learn/pictures.ts';

const ROOT = join(import.meta.dirname, '..');
const NOTICE = '<!-- Made by `npm run docs` from the source; edit that instead. -->';

/** Path below the root of the repository -> its text. */
export async function pages(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['docs/reference/cli.md', await cliPage()],
    ['docs/reference/exit-codes.md', exitCodesPage()],
    ['docs/reference/errors.md', errorsPage()],
    ['docs/reference/metrics.md', await metricsPage()],
    ['docs/reference/api.md', apiPage()],
    ['docs/reference/cni.md', cniPage()],
    ...(await pictures()),
  ]);
}

async function cliPage(): Promise<string> {
  const program = await buildProgram(COMMANDS, () => true);
  const sections = walk(program).map(command => {
    const title = command === program ? 'tulle' : `tulle ${pathOf(command)}`;
    return `## ${title}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\``;
  });
  return page('The command line', ['Every command as its `--help` shows it.', ...sections]);
}

const walk = (command: Command): Command[] => [command, ...command.commands.flatMap(walk)];

const pathOf = (command: Command): string =>
  command.parent?.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: part => (text += part),
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text.trim();
}

function exitCodesPage(): string {
  const rows = Object.entries(EXIT).map(([outcome, { status, meaning }]) => {
    const codes = Object.entries(OUTCOME_OF_CODE).filter(([, of]) => of === outcome);
    return `| ${status} | ${meaning} | ${codes.map(([code]) => `\`${code}\``).join(' ')} |`;
  });
  return page('Exit statuses', [
    'Every command of `tulle` ends with one of these. A number never gets a second meaning.',
    ['| status | meaning | error codes |', '| --- | --- | --- |', ...rows].join('\n'),
    `A command that a signal cut short ends with ${SIGNAL_BASE} and the signal's number: ${SIGNAL_BASE + 2} ` +
      'after Ctrl-C. One that runs until it is stopped, such as `tulle agent`, ends with 0 then. ' +
      '`bin/tulle` itself ends with 127 when it finds no Node.js that is new enough.',
    'Errors and what they mean are listed in [errors.md](errors.md).',
  ]);
}

/** One class of error, as the source declares it. */
interface ErrorClass {
  readonly name: string;
  readonly file: string;
  /** The comment above the class. */
  readonly about: string;
  readonly codes: readonly { readonly code: string; readonly meaning: string }[];
}

function errorsPage(): string {
  const sections = errorClasses().map(({ name, file, about, codes }) => {
    return [`## ${name}`, about, `Declared in \`${file}\`. ${codesText(codes)}`].join('\n\n');
  });
  return page('Errors', [
    'Each boundary has one error class. A command prints the message on one line, then a hint on what to do, ' +
      'and exits with the [exit status](exit-codes.md) that belongs to the code.',
    ...sections,
  ]);
}

function codesText(codes: ErrorClass['codes']): string {
  const [only, ...others] = codes;
  if (only === undefined) return 'Its codes are names of errno (`EEXIST`) or of gRPC.';
  if (others.length === 0) return `Its code is \`${only.code}\`.`;
  const rows = codes.map(({ code, meaning }) => `| \`${code}\` | ${meaning} |`);
  return ['Its codes:\n', '| code | meaning |', '| --- | --- |', ...rows].join('\n');
}

export function errorClasses(): ErrorClass[] {
  return readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.includes('generated'))
    .sort()
    .flatMap(file => classesIn(`src/${file}`, readFileSync(join(ROOT, 'src', file), 'utf8')));
}

function classesIn(file: string, text: string): ErrorClass[] {
  const declaration =
    /((?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?)export class (\w+) extends TulleError(?:<([^>]+)>)?/g;
  return Array.from(text.matchAll(declaration), ([, above = '', name = '', type = '']) => ({
    name,
    file,
    about: comment(above),
    codes: codesOf(type, text),
  }));
}

/** The members of a union of texts, `'A' | 'B'` or the name of one, with the comments above them. */
function codesOf(type: string, text: string): { code: string; meaning: string }[] {
  const comments = String.raw`(?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/)?`;
  const declaration = new RegExp(`type ${type} =((?:\\s*${comments}\\s*\\|?\\s*'\\w+')+);`);
  const union = declaration.exec(text)?.[1] ?? type;
  return Array.from(
    union.matchAll(/((?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/)?)\s*\|?\s*'(\w+)'/g),
    ([, above = '', code = '']) => ({ code, meaning: comment(above) }),
  );
}

const comment = (text: string) =>
  text
    .replaceAll(/^\s*\/?\*+\/?|\*\/\s*$/gm, '')
    .replaceAll(/\s+/g, ' ')
    .trim();

async function metricsPage(): Promise<string> {
  // Some metrics are there only where the backend chooses, or once peers were asked.
  const direct = { inUse: 'direct', name: 'the direct route', since: T0, others: [] } as const;
  const health = { state: 'answers', since: T0, roundTripMs: 0.2, lossPercent: 0, pathMtu: 1450 } as const;
  const peer = { ...healthyPeer, ways: { ipv4: direct }, health: { ipv4: health } };
  const { text } = await exposeMetrics(status({ peers: [peer], fastPath }));
  const rows = Array.from(
    text.matchAll(/# HELP (\S+) (.*)\n# TYPE \S+ (\w+)\n(?:\1\{([^}]*)\})?/g),
    match => {
      const [, name = '', help = '', type = '', labels = ''] = match;
      const names = Array.from(labels.matchAll(/(\w+)="/g), ([, label]) => `\`${label}\``);
      return `| \`${name}\` | ${type} | ${names.join(' ')} | ${help} |`;
    },
  );
  return page('Metrics', [
    'What `/metrics` serves when the agent is started with `--metrics-port`, in the format of Prometheus. Beyond ' +
      'loopback it is TLS with client certificates.',
    ['| name | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n'),
  ]);
}

function apiPage(): string {
  const header = readFileSync(join(ROOT, 'src/api/client.ts'), 'utf8').split('*/', 1)[0] ?? '';
  const rows = Array.from(
    header.matchAll(/^ \* +(GET|POST) +(\S+) +(.*)$/gm),
    ([, method = '', path = '', meaning = '']) => `| ${method} | \`${path}\` | ${meaning} |`,
  );
  const example = JSON.stringify(status(), undefined, 2);
  return page("The agent's API", [
    `HTTP with JSON bodies over the unix socket \`${DEFAULT_SOCKET}\`, which only root may open:`,
    '```sh\ncurl --unix-socket ' + `${DEFAULT_SOCKET} http://agent/v1/status\n\`\`\``,
    ['| method | path | answer |', '| --- | --- | --- |', ...rows].join('\n'),
    'What other hosts may ask is on [another page](peer-api.md).',
    'Every answer that is not 2xx is `{"code": ..., "message": ..., "hint": ...}`, the hint only where there is one; what is wrong with a request is also in `problems`, each with path, value, message and hint. ' +
      'Times are ISO 8601 in UTC; what is not known or does not apply is absent; nothing in it is ever secret. ' +
      'The codes of conditions, warnings and events are in [warnings.md](warnings.md).',
    'The schema of every message is in `src/api/status.ts`, `src/api/fast-path.ts`, `src/api/messages.ts`, `src/api/tunnels.ts`, `src/api/networks.ts`, `src/api/ports.ts` and `src/api/cni.ts`. What each address family has is one ' +
      'record, such as `"subnet": {"ipv4": "10.5.34.0/24"}`; a family that has none is absent from it.',
    'The status of a healthy host:',
    `\`\`\`json\n${example}\n\`\`\``,
  ]);
}

function cniPage(): string {
  const keys = Object.entries(CNI_KEYS).map(([key, meaning]) => `| \`${key}\` | ${meaning} |`);
  const { codes } = errorClasses().find(({ name }) => name === 'CniError') ?? { codes: [] };
  const rows = codes.map(({ code, meaning }) => [CNI_CODES[code as CniErrorCode], meaning] as const);
  rows.push([5, 'There is no Node.js to run on.']);
  const sorted = rows.toSorted(([a], [b]) => a - b).map(([code, meaning]) => `| ${code} | ${meaning} |`);
  return page('The CNI plugin', [
    `The types \`tulle\` and \`tulle-ipam\` of the CNI specification, versions ${CNI_VERSIONS.join(', ')}. ` +
      '[The guide](../guide/cni.md) shows them at work.',
    '## Keys of the configuration',
    'Of a plugin of type `tulle` in a list; those of `tulle-ipam` are below `ipam`. Any other key is refused, but for those of ' +
      'the specification and those that runtimes mark as theirs (`cni.dev/...`).',
    ['| key | for |', '| --- | --- |', ...keys].join('\n'),
    'Capabilities: `portMappings` (only where no `portmap` follows in the list), `ips`, `mac`, `aliases`, `dns`. `IP` and `MAC` in ' +
      'CNI_ARGS and `args.cni` count as well; `K8S_POD_NAME` and `NERDCTL_CNI_DHCP_HOSTNAME` name the container.',
    '## Error codes',
    'Up to 99 as the specification has them, from 100 on our own. A runtime tries again after 11.',
    ['| code | when |', '| --- | --- |', ...sorted].join('\n'),
  ]);
}

const page = (title: string, parts: readonly string[]) =>
  `${[`# ${title}`, NOTICE, ...parts].join('\n\n')}\n`;

if (import.meta.main) {
  for (const [path, text] of await pages()) await writeFileAtomic(join(ROOT, path), text);
}
