import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { Argument, Command, Option } from 'commander';
import { printed } from '../../test/support/output.ts';
import { completionScript, SHELLS } from './completion.ts';
import { completionCommand } from './completion-command.ts';
import { offering } from './offers.ts';
import { buildProgram } from './program.ts';

/** Of a shell, in milliseconds. */
const TIMEOUT = 30_000;

const lab = () => {
  const command = new Command('lab');
  command
    .command('up')
    .alias('make')
    .description("make hosts; it's quick")
    .addOption(new Option('--backend <type>', 'backend').choices(['vxlan', 'host-gw']))
    .option('--hosts <n>', 'how many')
    .option('--secret', 'not shown')
    .option('-j, --json', 'as JSON');
  command.command('down').description('remove them');
  return command;
};
const program = () =>
  buildProgram(
    [
      { name: 'lab', group: 'This host:', summary: 'hosts on this machine', load: async () => lab() },
      { name: 'status', group: 'This host:', summary: 'this host', load: async () => new Command('status') },
    ],
    () => true,
  );

/** What bash offers for the last of `words`. */
async function offered(...words: string[]): Promise<string[]> {
  const script = completionScript('bash', await program());
  const probe = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tulle; printf "%s\\n" "${COMPREPLY[@]}"';
  const text = execFileSync('bash', ['-c', `${script}\n${probe}`, 'bash', 'tulle', ...words], {
    encoding: 'utf8',
    timeout: TIMEOUT,
  });
  return text.split('\n').filter(line => line !== '');
}

const noBash = spawnSync('bash', ['--version']).error === undefined ? false : 'needs bash';

test('bash is offered what fits at each place', {
  skip: process.env['CI'] === 'true' ? false : noBash,
}, async () => {
  assert.deepEqual(await offered(''), ['lab', 'status', 'help']);
  assert.deepEqual(await offered('l'), ['lab']);
  assert.deepEqual(await offered('--v'), ['--version']);
  assert.deepEqual(await offered('lab', ''), ['up', 'down']);
  assert.deepEqual(await offered('lab', 'up', '--h'), ['--hosts', '--help']);
  assert.deepEqual(await offered('lab', 'make', '--h'), ['--hosts', '--help'], 'by its other name');
  assert.deepEqual(await offered('lab', 'up', '--backend', ''), ['vxlan', 'host-gw']);
  assert.deepEqual(await offered('lab', 'up', '--json', '--backend', 'h'), ['host-gw']);
  assert.deepEqual(await offered('lab', 'up', '--hosts', ''), [], 'any number: left to the person');
  assert.deepEqual(await offered('help', 's'), ['status']);
});

test('I12: names that change are asked for when they are wanted', {
  skip: process.env['CI'] === 'true' ? false : noBash,
}, async () => {
  const asked = new Command('status')
    .addOption(offering(new Option('--peer <which>'), 'hosts'))
    .addOption(offering(new Option('--type <types>'), ['start', 'stop']))
    .addArgument(offering(new Argument('<place>'), 'lab-targets'));
  const tree = await buildProgram(
    [{ name: 'status', group: 'This host:', summary: 'this host', load: async () => asked }],
    () => true,
  );
  const words = (...line: string[]) => {
    const stub =
      'tulle() { case "$*" in "completion --offer hosts") echo docker1; echo docker2;; *) echo "c/$3";; esac; }';
    const probe = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tulle; printf "%s\n" "${COMPREPLY[@]}"';
    const script = `${completionScript('bash', tree)}\n${stub}\n${probe}`;
    return execFileSync('bash', ['-c', script, 'bash', 'tulle', ...line], {
      encoding: 'utf8',
      timeout: TIMEOUT,
    })
      .trim()
      .split('\n');
  };
  assert.deepEqual(words('status', '--peer', 'docker'), ['docker1', 'docker2']);
  assert.deepEqual(words('status', ''), ['c/lab-targets']);
  assert.deepEqual(words('status', '--type', 's'), ['start', 'stop']);
  assert.match(completionScript('zsh', tree), /compadd -- \$\{\(f\)"\$\(tulle completion --offer hosts/);
  assert.match(completionScript('fish', tree), /-x -a '\(tulle completion --offer hosts/);
});

test('every script names every command and option, quoted', async () => {
  for (const shell of SHELLS) {
    const script = completionScript(shell, await program());
    for (const word of ['status', 'down', 'backend', 'host-gw', 'json'])
      assert.match(script, new RegExp(word), shell);
    const quotes = script.replaceAll("'\\''", '').split("'").length - 1;
    assert.equal(quotes % 2, 0, `${shell}: quotes are balanced`);
  }
});

test('a script gets names a line each, and a person who names no shell the shells there are', async t => {
  const command = () => completionCommand(program, async offer => [`${offer}-1`, `${offer}-2`]);
  const run = (...argv: string[]) => printed(t, () => command().parseAsync(argv, { from: 'user' }));
  assert.equal((await run('--offer', 'hosts')).out, 'hosts-1\nhosts-2\n');
  assert.match((await run('fish')).out, /^# fish completion for tulle/);
  await assert.rejects(run(), { code: 'USAGE', hint: `give one of ${SHELLS.join(', ')}` });
});
