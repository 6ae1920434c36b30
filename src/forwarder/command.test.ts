import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { assertOptions } from '../console/options.ts';
import { forwarderCommand } from './command.ts';

/** What the options of a command line become; @throws ConfigError for what is wrong with them. */
function read(...args: readonly string[]): Record<string, unknown> {
  const command: Command = forwarderCommand().exitOverride();
  let options: Record<string, unknown> = {};
  command.action(given => {
    options = given as Record<string, unknown>;
  });
  command.parse(args, { from: 'user' });
  assertOptions(command);
  return options;
}

const listening = (...addresses: readonly string[]) => {
  const listen = read(...addresses.map(address => `--listen=${address}`))['listen'] as {
    ip: unknown;
    port: number;
  }[];
  return listen.map(({ ip, port }) => `${String(ip)} ${port}`);
};

test("flannel's device and port unless something else is wanted", () => {
  const { device, mtu } = read('--listen', '192.0.2.1');
  assert.deepEqual([device, mtu], ['flannel0', 1472]);
  assert.deepEqual(listening('192.0.2.1'), ['192.0.2.1 8285']);
});

test('addresses of both families, with and without a port', () => {
  assert.deepEqual(listening('192.0.2.1:99', '[2001:db8::1]:99'), ['192.0.2.1 99', '2001:db8::1 99']);
  assert.deepEqual(listening('2001:db8::1'), ['2001:db8::1 8285']);
});

test('refuses what cannot be meant', () => {
  for (const wrong of [
    '192.0.2.1:0',
    '192.0.2.1:70000',
    'eth0',
    '2001:db8::1:99:x',
    '[192.0.2.1]:99',
    ':8285',
    '',
  ])
    assert.throws(() => listening(wrong), /--listen/, wrong);
  for (const wrong of ['a name', '', 'x'.repeat(16), 'a/b', '..'])
    assert.throws(() => read('--device', wrong), /--device/, wrong);
  for (const wrong of ['575', '65508', 'x']) assert.throws(() => read('--mtu', wrong), /--mtu/, wrong);
});
