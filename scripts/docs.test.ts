import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EVENT_TYPES } from '../src/api/messages.ts';
import { checkConfig } from '../src/cluster/config.ts';
import { OUTCOME_OF_CODE } from '../src/console/exit-codes.ts';
import { COMMANDS } from '../src/main.ts';
import { errorClasses, pages } from './docs.ts';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

test('the reference pages are those that the code gives', async () => {
  for (const [path, text] of await pages()) {
    assert.equal(read(path), text, `${path} is stale: run 'npm run docs'`);
  }
});

test('every class of error says what it is, and every code what it means', () => {
  for (const { name, about, codes } of errorClasses()) {
    assert.notEqual(about, '', `${name} has no comment`);
    if (codes.length === 1) continue;
    for (const { code, meaning } of codes) assert.notEqual(meaning, '', `${name} ${code} has no comment`);
  }
});

test('every code with an exit status of its own exists', () => {
  const codes = new Set(errorClasses().flatMap(({ codes: of }) => of.map(({ code }) => code)));
  const unknown = Object.keys(OUTCOME_OF_CODE).filter(code => !codes.has(code) && !/^E[A-Z]+$/.test(code));
  assert.deepEqual(unknown, []);
});

test('every command is made under the name it is listed with', async () => {
  for (const { name, load } of COMMANDS) {
    const command = await load();
    assert.equal(command.name(), name);
    assert.notEqual(command.description(), '', name);
  }
});

test('every command shows how it is used', () => {
  const sections = read('docs/reference/cli.md').split(/^## /m).slice(1);
  assert.ok(sections.length > COMMANDS.length);
  for (const section of sections) assert.match(section, /^Examples:$/m, section.split('\n', 1)[0]);
});

test('the configurations in the reference are good ones, and every key they may have is in them', () => {
  const page = read('docs/reference/network-config.md');
  const examples = Array.from(page.matchAll(/```json\n([\s\S]*?)```/g), ([, json = '']) => json);
  for (const example of examples) assert.deepEqual(checkConfig(example).warnings, []);
  const keys = matches(
    sourcesOf('subnet', 'backend'),
    /'((?:IPv6)?(?:Network|Subnet(?:Len|Min|Max))|Enable\w+)'/g,
  );
  for (const key of keys) assert.match(page, new RegExp(`\`${key}\``), key);
  const options = matches([read('src/backend/vxlan-options.ts')], /\bfields(?:\.\w+\(|, )'(\w+)'/g);
  assert.ok(options.has('VNI'));
  for (const key of options) assert.match(page, new RegExp(`\`${key}\``), key);
});

/** Texts of the source, tests left out. */
function sourcesOf(...folders: readonly string[]): string[] {
  return folders.flatMap(folder =>
    globSync(`src/${folder}/**/*.ts`, { cwd: ROOT })
      .filter(file => !file.endsWith('.test.ts'))
      .map(read),
  );
}

const matches = (texts: readonly string[], pattern: RegExp) =>
  new Set(texts.flatMap(text => Array.from(text.matchAll(pattern), ([, word = '']) => word)));

test('every code and every event of the agent is explained, and no other', () => {
  const page = read('docs/reference/warnings.md');
  const explained = matches([page], /^\| `([A-Z_]+)` \|/gm);
  const codes = matches(
    sourcesOf('agent', 'network', 'plugin', 'subnet'),
    /\bcode(?:: | = retriable \? '\w+' : )'([A-Z_]+)'/g,
  );
  // Refusals of API requests and errors, which other pages list.
  for (const other of ['ALREADY_RUNNING', 'UNKNOWN_REQUEST', 'INVALID_VALUE', 'NO_FORWARDER'])
    codes.delete(other);
  assert.deepEqual([...explained].sort(), [...codes, 'STORE_UNAVAILABLE'].filter(unique).sort());

  const listed = new Set(page.slice(page.indexOf('## Events')).match(/(?<=`)[a-z]+(-[a-z]+)*(?=`)/g));
  assert.deepEqual(
    EVENT_TYPES.filter(type => !listed.has(type)),
    [],
  );
});

test('every finding of a check is explained, and no other', () => {
  const page = read('docs/reference/findings.md');
  const rows = Array.from(page.matchAll(/^\| `([A-Z_]+)` \|/gm), ([, code = '']) => code);
  const explained = new Set(rows);
  assert.deepEqual(
    rows.filter((code, at) => rows.indexOf(code) !== at),
    [],
    'codes that are explained twice',
  );
  const lines = sourcesOf('inspect/checks', 'inspect/check').flatMap(text => text.match(/\bcode: .*/g) ?? []);
  const codes = matches(lines, /'([A-Z]+(?:_[A-Z]+)+)'/g);
  assert.deepEqual(
    [...codes].filter(code => !explained.has(code)),
    [],
  );
  const sources = sourcesOf('inspect').join('\n');
  assert.deepEqual(
    [...explained].filter(code => !sources.includes(`'${code}'`)),
    [],
  );
});

const unique = (item: string, index: number, all: readonly string[]) => all.indexOf(item) === index;

test('every dependency has its line of reason, and nothing else has one', () => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, object>;
  const listed = Array.from(read('docs/dependencies.md').matchAll(/^\| `([^`]+)` \|/gm), ([, name]) => name);
  assert.deepEqual(listed, [...Object.keys(dependencies ?? {}), ...Object.keys(devDependencies ?? {})]);
});
