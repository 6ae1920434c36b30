/** The folder tree is the architecture: who may import whom, and why. A rule here is changed on purpose or not at all. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { CONFINED, PICTURE, ROOMS } from './architecture.ts';

const SRC = import.meta.dirname;
/** More than one reading of a file. */
const MAX_LINES = 300;

interface Import {
  readonly file: string;
  readonly specifier: string;
}

const isTest = (file: string) => file.endsWith('.test.ts');
const roomOf = (file: string) => file.split('/')[0] ?? '';

const sources = new Map(
  readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.includes('generated'))
    .map(file => [file, readFileSync(join(SRC, file), 'utf8')]),
);

const imports: Import[] = Array.from(sources).flatMap(([file, text]) =>
  Array.from(
    text.matchAll(
      /^\s*(?:import|export)\s+(?:type\s)?[^'";]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)|^import\s+'([^']+)'/gms,
    ),
    ([, from, dynamic, bare]) => ({ file, specifier: from ?? dynamic ?? bare ?? '' }),
  ),
);

/** Imports of another room, of files that are no tests. */
const edges = imports
  .filter(({ file, specifier }) => specifier.startsWith('.') && file.includes('/') && !isTest(file))
  .map(({ file, specifier }) => ({
    file,
    from: roomOf(file),
    to: roomOf(relative(SRC, join(SRC, dirname(file), specifier))),
  }))
  .filter(({ from, to }) => from !== to);

test('imports point one way', () => {
  const wrong = edges
    .filter(({ from, to }) => ROOMS[from]?.may.includes(to) !== true)
    .map(({ file, from, to }) => `${file} imports ${to}: ${from} is "${ROOMS[from]?.why}"`);
  assert.deepEqual(wrong, []);
});

test('every import that a rule allows is made', () => {
  const made = new Set(edges.map(({ from, to }) => `${from} -> ${to}`));
  const stale = Object.entries(ROOMS)
    .flatMap(([from, { may }]) => may.map(to => `${from} -> ${to}`))
    .filter(edge => !made.has(edge));
  assert.deepEqual(stale, []);
});

test('rooms stand in the order of their imports, so that there is no cycle', () => {
  const order = Object.keys(ROOMS);
  const wrong = Object.entries(ROOMS).flatMap(([from, { may }]) =>
    may.filter(to => order.indexOf(to) >= order.indexOf(from)).map(to => `${from} -> ${to}`),
  );
  assert.deepEqual(wrong, []);
});

test('every folder is a room', () => {
  const folders = readdirSync(SRC, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name);
  assert.deepEqual(folders.toSorted(), Object.keys(ROOMS).toSorted());
});

test("a room's README.md says what it is, what may not enter, and what its folders hold", () => {
  const wrong = Object.keys(ROOMS).flatMap(room => {
    const path = join(SRC, room, 'README.md');
    const page = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const folders = readdirSync(join(SRC, room), { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(({ name }) => name);
    return [
      ...(page.startsWith(`# ${room}\n\n`) ? [] : [`${room}: want the title "# ${room}"`]),
      ...(page.includes('\nNot here: ') ? [] : [`${room}: want a paragraph "Not here: ..."`]),
      ...folders
        .filter(name => !page.includes(`| \`${name}/\` |`))
        .map(name => `${room}: want a row for \`${name}/\``),
    ];
  });
  assert.deepEqual(wrong, []);
});

test('outside modules are confined to the rooms that own them', () => {
  const rules = Object.entries(CONFINED);
  const users = (module: string) =>
    imports.filter(({ file, specifier }) => specifier === module && !isTest(file)).map(({ file }) => file);
  const wrong = rules.flatMap(([module, { to, why }]) =>
    users(module)
      .filter(file => !to.includes(roomOf(file)))
      .map(file => `${file} imports ${module}: ${why}`),
  );
  const stale = rules.flatMap(([module, { to }]) =>
    to.filter(room => !users(module).some(file => roomOf(file) === room)).map(room => `${room} -> ${module}`),
  );
  assert.deepEqual({ wrong, stale }, { wrong: [], stale: [] });
});

/** Exported names, each with the files that declare it and whether it is a type. */
function exportedNames(): Map<string, { readonly isType: boolean; readonly file: string }[]> {
  const names = new Map<string, { readonly isType: boolean; readonly file: string }[]>();
  for (const [file, text] of sources) {
    if (isTest(file)) continue;
    for (const [, kind = '', name = ''] of text.matchAll(
      /^export (?:declare )?(?:abstract |async )?(class|function\*?|const|let|enum|interface|namespace|type) (\w+)/gm,
    )) {
      const isType = ['class', 'enum', 'interface', 'type'].includes(kind);
      const known = names.get(name) ?? [];
      // A schema and the type of what it accepts are one name, in one file.
      if (known.some(other => other.file === file)) continue;
      names.set(name, [...known, { isType, file }]);
    }
  }
  return names;
}

test('an exported name has one meaning', () => {
  const shared = Array.from(exportedNames())
    .map(([name, declarations]) => ({
      name,
      // Functions for tests may be called as what they stand for; types may not.
      declarations: declarations.filter(({ isType, file }) => isType || roomOf(file) !== 'testing'),
    }))
    // The experiment of its file: the catalogue loads each of them by this name.
    .filter(
      ({ name, declarations }) =>
        name !== 'SCENARIO' || declarations.some(({ file }) => !file.startsWith('lab/scenarios/')),
    )
    .filter(({ declarations }) => declarations.length > 1)
    .map(({ name, declarations }) => `${name}: ${declarations.map(({ file }) => file).join(', ')}`);
  assert.deepEqual(shared, []);
});

test('an export has its own name in every file: no default, no star, no renaming', () => {
  const wrong = Array.from(sources).flatMap(([file, text]) =>
    Array.from(
      text.matchAll(/^export (?:default\b.*|\*.*|(?:type )?\{[^}]*\bas\b[^}]*\}.*)/gm),
      ([line]) => `${file}: ${line}`,
    ),
  );
  assert.deepEqual(wrong, []);
});

test(`no file has more than ${MAX_LINES} lines`, () => {
  const long = Array.from(sources)
    .filter(([file, text]) => !isTest(file) && text.split('\n').length > MAX_LINES + 1)
    .map(([file]) => file);
  assert.deepEqual(long, []);
});

test('the picture in ARCHITECTURE.md is the one of these rules', () => {
  const page = readFileSync(join(SRC, '../ARCHITECTURE.md'), 'utf8');
  assert.ok(page.includes(PICTURE), `ARCHITECTURE.md wants this picture:\n${PICTURE}`);
});
