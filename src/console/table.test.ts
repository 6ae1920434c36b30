import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { ESC_MARK, widestWord, widthOf, wrapTo } from './fold.ts';
import { formatFacts, formatTable, wrap, wrapCommand } from './table.ts';

test('a table aligns its columns by what is seen, not by what colours it', () => {
  const columns = [
    { title: 'name', cell: (row: { name: string }) => row.name },
    { title: 'size', cell: (row: { size?: number }) => String(row.size ?? ''), align: 'right' as const },
  ];
  const painted = `${ESC_MARK}[31mlong-name${ESC_MARK}[39m`;
  assert.equal(
    formatTable(columns, [{ name: painted, size: 7 }, { name: 'b', size: 1000 }, { name: 'c' }]),
    ['NAME       SIZE', `${painted}     7`, 'b          1000', 'c             -'].join('\n'),
  );
});

test('facts without a value are left out', () => {
  const facts = formatFacts([
    ['lease', '10.3.5.0/24'],
    ['ipv6', undefined],
    ['underlay', 'eth0'],
  ]);
  assert.equal(facts, 'lease     10.3.5.0/24\nunderlay  eth0');
});

test('what is wider than the terminal goes on below its own column', () => {
  const facts = formatFacts([['store', 'http://10.0.0.1:2379, no contact for 3 min']], '', 40);
  assert.equal(facts, 'store  http://10.0.0.1:2379, no contact\n       for 3 min');
  const columns = [
    { title: 'peer', cell: (row: { peer: string }) => row.peer },
    { title: 'reason', cell: () => 'a route of another user is in the way' },
  ];
  assert.equal(
    formatTable(columns, [{ peer: '10.0.0.0/24' }], 43),
    'PEER         REASON\n10.0.0.0/24  a route of another user is in\n             the way',
  );
  assert.equal(
    wrap('a word that is-far-too-long-for-any-line-of-this', 2, 32),
    'a word that\n  is-far-too-long-for-any-line-of-this',
  );
  assert.equal(wrap('no terminal, no wrapping', 2, undefined), 'no terminal, no wrapping');
});

test('I7: a word that is longer than any name does not widen the table', () => {
  const columns = ['key', 'state', 'reason'].map((title, index) => ({
    title,
    cell: (row: readonly string[]) => row[index] ?? '',
  }));
  const key = 'x'.repeat(150);
  const rows = [
    ['10.0.0.0-24', 'ok', ''],
    [key, 'rejected', 'is not a key of a lease'],
  ];
  const lines = formatTable(columns, rows, 80).split('\n');
  assert.ok(
    lines.every(line => line.length <= 80),
    lines.join('\n'),
  );
  assert.match(lines[0] ?? '', /^KEY +STATE +REASON$/);
  assert.equal(
    lines
      .map(line => line.split(' ')[0])
      .filter(word => word?.startsWith('x'))
      .join(''),
    key,
  );
  assert.match(formatTable(columns, rows, undefined), new RegExp(key), 'whole for a program');
});

const columnsOf = (titles: readonly string[], align: 'left' | 'right') =>
  titles.map((title, index) => ({
    title,
    cell: (row: readonly string[]) => row[index] ?? '',
    ...(index === 0 ? {} : { align }),
  }));

test('I7: columns that do not fit beside each other stand below, each with the names of the rows', () => {
  const columns = columnsOf(['from', 'c1', 'c2', 'c3'], 'right');
  assert.equal(
    formatTable(columns, [['docker1', '0.09 ms', '1.00 ms', 'lost']], 26),
    ['FROM          C1       C2', 'docker1  0.09 ms  1.00 ms', '', 'FROM       C3', 'docker1  lost'].join(
      '\n',
    ),
  );
});

test('I7: no line of a table is wider than the terminal unless a word and the name of its row are', () => {
  const cell = fc
    .array(fc.stringMatching(/^[a-z0-9./]{1,20}$/), { maxLength: 6 })
    .map(words => words.join(' '));
  const table = fc
    .integer({ min: 1, max: 7 })
    .chain(count =>
      fc.tuple(
        fc.array(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: count, maxLength: count }),
        fc.array(fc.array(cell, { minLength: count, maxLength: count }), { maxLength: 6 }),
      ),
    );
  fc.assert(
    fc.property(table, fc.integer({ min: 20, max: 120 }), ([titles, rows], width) => {
      const text = formatTable(columnsOf(titles, 'left'), rows, width);
      const widest = (column: number) =>
        Math.max(...[titles, ...rows].map(row => widestWord(row[column] ?? '')), 1);
      const unavoidable =
        widest(0) + 2 + Math.max(0, ...titles.slice(1).map((_, index) => widest(index + 1)));
      for (const line of text.split('\n')) assert.ok(widthOf(line) <= Math.max(width, unavoidable), text);
      for (const word of rows.flat().flatMap(of => of.split(' ')))
        assert.ok(text.includes(word), `${word} is cut`);
    }),
  );
});

test('I1: a cell and a fact are one line without controls, whatever is in them', () => {
  const hostile = '10.0.0.0-24\nFAKE  ok\r\x1b[2J\u202e';
  const escaped = '10.0.0.0-24\\u000aFAKE  ok\\u000d\\u001b[2J\\u202e';
  assert.equal(formatTable(columnsOf(['peer'], 'left'), [[hostile]], undefined), `PEER\n${escaped}`);
  assert.equal(formatFacts([['peer', hostile]]), `peer  ${escaped}`);
  assert.equal(wrap(hostile, 2), escaped);
});

test('I1: a cell of a megabyte is cut, and its colour ends with it', () => {
  const table = formatTable(columnsOf(['data'], 'left'), [
    [`${ESC_MARK}[31m${'x'.repeat(2 ** 20)}${ESC_MARK}[39m`],
  ]);
  assert.ok(table.length < 3000);
  assert.match(table, /x\.\.\. \(1048576 characters\)$/);
});

test('in a narrow terminal a text is given room beside its indentation', () => {
  const words = 'twenty columns are little room for any text';
  const folded = wrapTo(`${'x'.repeat(12)} ${words}`, 30, 40).split('\n');
  assert.deepEqual(
    folded.map(line => line.search(/\S/)),
    [0, 12],
  );
  assert.ok(
    folded.every(line => line.length <= 40),
    folded.join('\n'),
  );
  assert.deepEqual(wrapTo('more words than fit', 8, 10).split('\n'), ['more words', 'than fit']);
});

test('a command that is too long for a line is one command for the shell that it is copied to', () => {
  const command = 'iptables-nft -t mangle -D FORWARD -s 10.3.5.2/32 -j DROP';
  const text = wrapCommand(`remedy: ${command}`, 4, 40);
  assert.equal(text, 'remedy: iptables-nft -t mangle -D \\\n    FORWARD -s 10.3.5.2/32 -j DROP');
  assert.equal(wrapCommand(command, 4, 80), command);
});
