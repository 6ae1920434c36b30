/** Values at their bounds, and options of a command above the one that runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command, Option } from 'commander';
import { printed } from '../../test/support/output.ts';
import { integer, ipOf, port } from './options.ts';
import { runProgram } from './program.ts';

test('a whole number is decimal, and both of its bounds are in', () => {
  const parse = integer(-1, 9);
  assert.deepEqual(['-1', '0', '9', ' 3 '].map(parse), [-1, 0, 9, 3]);
  for (const text of ['-2', '10', '', ' ', '1.5', '0x5', '1e0', '5s']) {
    assert.notEqual(typeof parse(text), 'number', text);
  }
  assert.deepEqual(['1', '65535'].map(port), [1, 65_535]);
});

test('an address of the other family is refused', () => {
  const { ipv4, ipv6 } = { ipv4: '192.0.2.1', ipv6: 'fd00::1' };
  assert.equal(String(ipOf('ipv4')(ipv4)), ipv4);
  assert.equal(String(ipOf('ipv6')(ipv6)), ipv6);
  for (const [family, text] of [
    ['ipv4', ipv6],
    ['ipv6', ipv4],
  ] as const) {
    assert.match((ipOf(family)(text) as unknown as Error).message, /other address family/);
  }
});

test('a wrong value of a parent command keeps its child from running', async t => {
  let ran = false;
  const load = async () =>
    new Command('net')
      .addOption(new Option('--port <n>').argParser(port))
      .addCommand(new Command('show').action(() => void (ran = true)));
  const table = [{ name: 'net', group: 'This host:', summary: '', load }] as const;
  const { result, err } = await printed(t, () => runProgram(table, ['net', '--port', '0', 'show']));
  assert.equal(result, 2);
  assert.match(err, /--port: "0" is not in range/);
  assert.equal(ran, false);
});
