import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCount, formatDuration, formatNumber } from './format.ts';
import { duration, list } from './options.ts';
import { formatJson } from './output.ts';
import { formatFacts, formatTable, wrap } from './table.ts';

test('durations have at most two units', () => {
  for (const [ms, text] of [
    [0, '0 ms'],
    [1.26, '1.2 ms'],
    [999, '999 ms'],
    [1000, '1 s'],
    [59_999, '59.9 s'],
    [60_000, '1 min'],
    [250_400, '4 min 10 s'],
    [7_380_000, '2 h 3 min'],
    [86_400_000 * 5 + 7_200_000, '5 d 2 h'],
  ] as const) {
    assert.equal(formatDuration(ms), text);
  }
});

test('durations are read with their unit and never without', () => {
  const read = duration({ min: 1, max: 86_400_000 });
  assert.equal(read('250ms'), 250);
  assert.equal(read('1.5h'), 5_400_000);
  for (const text of ['10', '-1s', '0s', '25h', '99999999999d']) {
    assert.notEqual(typeof read(text), 'number', text);
  }
});

test('one thing is not "1 things"', () => {
  assert.equal(formatCount(1, 'peer'), '1 peer');
  assert.equal(formatCount(0, 'peer'), '0 peers');
  assert.equal(formatCount(2, 'entry', 'entries'), '2 entries');
  assert.equal(formatCount(50_000, 'peer'), '50,000 peers');
  assert.equal(formatNumber(36_224.06, 1), '36,224.1');
  assert.equal(formatNumber(undefined), '');
});

test('a list drops what is between two commas and nothing else', () => {
  assert.deepEqual(list(text => text)(' a, b,,c '), ['a', 'b', 'c']);
});

test('JSON keeps every digit of a 64-bit number', () => {
  assert.equal(formatJson({ revision: 2n ** 63n }), '{"revision":"9223372036854775808"}');
});

test('a table aligns its columns by what is seen, not by what colours it', () => {
  const columns = [
    { title: 'name', cell: (row: { name: string }) => row.name },
    { title: 'size', cell: (row: { size?: number }) => String(row.size ?? ''), align: 'right' as const },
  ];
  const rows = [{ name: '\x1b[31mlong-name\x1b[0m', size: 7 }, { name: 'b', size: 1000 }, { name: 'c' }];
  assert.equal(
    formatTable(columns, rows),
    ['NAME       SIZE', '\x1b[31mlong-name\x1b[0m     7', 'b          1000', 'c             -'].join('\n'),
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
    { title: 'reason', cell: () => 'a route of somebody else is in the way' },
  ];
  assert.equal(
    formatTable(columns, [{ peer: '10.0.0.0/24' }], 43),
    'PEER         REASON\n10.0.0.0/24  a route of somebody else is in\n             the way',
  );
  assert.equal(
    wrap('a word that is-far-too-long-for-any-line-of-this', 2, 32),
    'a word that\n  is-far-too-long-for-any-line-of-this',
  );
  assert.equal(wrap('no terminal, no wrapping', 2, undefined), 'no terminal, no wrapping');
});
