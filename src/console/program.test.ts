import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Command, Option } from 'commander';
import { printed } from '../../test/support/output.ts';
import { TulleError } from '../base/errors.ts';
import { SysError } from '../sys/errors.ts';
import { CommandError, Interrupted } from './errors.ts';
import { integer, ipAddress, list, port, repeated, withChoices } from './options.ts';
import { type CommandEntry, runProgram } from './program.ts';

/** Two commands: `fail`, which throws what it is given, and `serve`, which takes values. */
function commands(failure: unknown, seen: unknown[] = [], loaded: string[] = []): CommandEntry[] {
  return [
    {
      name: 'fail',
      group: 'This host:',
      summary: 'fails',
      load: async () => {
        loaded.push('fail');
        return new Command('fail').action(() => {
          throw failure;
        });
      },
    },
    {
      name: 'serve',
      group: 'This host:',
      summary: 'serves',
      load: async () => {
        loaded.push('serve');
        return new Command('serve')
          .argument('[size]', 'size', integer(1, 9))
          .addOption(new Option('--port <n>').env('TT_PORT').argParser(port))
          .addOption(new Option('--peer <ip>').argParser(repeated(ipAddress)))
          .addOption(new Option('--names <list>').argParser(list(text => text)))
          .addOption(withChoices(new Option('--mode <mode>'), ['fast', 'slow'], 'a mode'))
          .addCommand(new Command('deeper').option('--level <n>'))
          .action((size: unknown, options: object) => void seen.push(size, options));
      },
    },
  ];
}

/** Runs a command line; what it says on either stream is caught. */
async function tulle(t: TestContext, table: CommandEntry[], argv: string[], env: NodeJS.ProcessEnv = {}) {
  const { result: status, out, err } = await printed(t, () => runProgram(table, argv, env));
  return { status, out, err: err.trimEnd().split('\n') };
}

describe('a command line', () => {
  test('loads the command it names and no other', async t => {
    const loaded: string[] = [];
    const seen: unknown[] = [];
    const table = commands(undefined, seen, loaded);
    const { status } = await tulle(t, table, [
      'serve',
      '3',
      '--port',
      '80',
      '--peer',
      '10.0.0.1',
      '--peer',
      '::1',
    ]);
    assert.equal(status, 0);
    assert.deepEqual(loaded, ['serve']);
    assert.equal(JSON.stringify(seen), '[3,{"port":80,"peer":["10.0.0.1","::1"]}]');
  });

  test('--help and --version load nothing, and list every command', async t => {
    const loaded: string[] = [];
    const { status, out } = await tulle(t, commands(undefined, [], loaded), ['--help']);
    assert.equal(status, 0);
    assert.match(out, /fail +fails\n +serve +serves/);
    for (const word of ['--version', '-v']) {
      const version = await tulle(t, commands(undefined, [], loaded), [word]);
      assert.match(version.out, /^\d+\.\d+\.\d+\n$/);
    }
    assert.deepEqual(loaded, []);
  });

  test('help for a command that is not there says so', async t => {
    for (const argv of [
      ['help', 'servr'],
      ['servr', '--help'],
    ]) {
      const { status, out, err } = await tulle(t, commands(undefined), argv);
      assert.equal(status, 2);
      assert.equal(out, '');
      assert.deepEqual(err, ["tulle: error: unknown command 'servr'", "hint: did you mean 'serve'?"]);
    }
  });

  test('help for a command is the same in both spellings', async t => {
    const first = await tulle(t, commands(undefined), ['help', 'serve']);
    const second = await tulle(t, commands(undefined), ['serve', '--help']);
    assert.match(first.out, /--peer <ip>/);
    assert.match(first.out, /--mode <mode> +\(choices: "fast", "slow"\)/);
    assert.equal(first.out, second.out);
    const alone = await tulle(t, commands(undefined), ['help']);
    assert.deepEqual(alone, await tulle(t, commands(undefined), ['--help']));
    assert.equal(alone.status, 0);
    const deeper = await tulle(t, commands(undefined), ['help', 'serve', 'deeper']);
    assert.match(deeper.out, /--level <n>/);
  });

  test('I12: help folds in a narrow terminal, with the descriptions below what they describe', async t => {
    const { columns } = process.stdout;
    process.stdout.columns = 40;
    t.after(() => {
      process.stdout.columns = columns;
    });
    const table: CommandEntry[] = [
      {
        name: 'lab',
        group: 'This host:',
        summary: 'a lab',
        load: async () =>
          new Command('lab')
            .description('Hosts made of namespaces on this machine: each has its own network.')
            .option('--backend-config <json>', 'the Backend object of the configuration of the network'),
      },
    ];
    const { out } = await tulle(t, table, ['lab', '--help']);
    assert.ok(
      out.split('\n').every(line => line.length <= 40),
      out,
    );
    assert.match(out, /\n {2}--backend-config <json>\n {6}the Backend object of the\n {6}configuration/);
  });

  test('I12: a word that is no command gets the commands there are', async t => {
    const { err, status } = await tulle(t, commands(undefined), ['xyz']);
    assert.deepEqual(
      [status, ...err],
      [2, "tulle: error: unknown command 'xyz'", 'hint: the commands are fail, serve'],
    );
    const table: CommandEntry[] = [
      {
        name: 'lab',
        group: 'This host:',
        summary: 'a lab',
        load: async () => new Command('lab').addCommand(new Command('up')).addCommand(new Command('down')),
      },
    ];
    const below = await tulle(t, table, ['lab', 'xyz']);
    assert.deepEqual(below.err, ["tulle: error: unknown command 'xyz'", 'hint: the commands are up, down']);
    for (const argv of [
      ['help', 'lab', 'xyz'],
      ['lab', 'help', 'xyz'],
      ['lab', 'xyz', '--help'],
    ]) {
      const unknown = await tulle(t, table, argv);
      assert.deepEqual([unknown.status, unknown.out, unknown.err], [2, '', below.err]);
    }
    const helped = await tulle(t, table, ['lab', 'help', 'up']);
    assert.match(helped.out, /^Usage: tulle lab up/);
    assert.match((await tulle(t, table, ['lab', 'help'])).out, /^Usage: tulle lab /);
  });

  const WRONG: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    [
      'a name that is almost right',
      ['serv'],
      ["tulle: error: unknown command 'serv'", "hint: did you mean 'serve'?"],
    ],
    [
      'an option that is almost right',
      ['serve', '--prot', '1'],
      ["tulle: error: unknown option '--prot'", "hint: did you mean '--port'?"],
    ],
    [
      'one wrong value',
      ['serve', '--port', '0'],
      ['tulle: error: command line: --port: "0" is not in range: want a whole number from 1 to 65535'],
    ],
    [
      'several wrong values',
      ['serve', '12', '--port', 'x', '--peer', '10.0.0.1', '--peer', 'nowhere'],
      [
        'tulle: error: command line: 3 problems',
        '  <size>: "12" is not in range: want a whole number from 1 to 9',
        '  --port: "x" is not a number: want a whole number from 1 to 65535',
        '  --peer: "nowhere" is not an IP address: want IPv4 dotted quad or IPv6 text',
      ],
    ],
    [
      'a list of nothing and a word that is no choice',
      ['serve', '--names', ' , ', '--mode', 'odd'],
      [
        'tulle: error: command line: 2 problems',
        '  --names: " , " is not a list: want one or more, separated by commas',
        '  --mode: "odd" is not a mode: want fast, slow',
      ],
    ],
  ];
  for (const [what, argv, lines] of WRONG) {
    test(`${what} is a usage error that names everything`, async t => {
      const seen: unknown[] = [];
      const { status, err, out } = await tulle(t, commands(undefined, seen), [...argv]);
      assert.equal(status, 2);
      assert.deepEqual(err, lines);
      assert.equal(out, '');
      assert.deepEqual(seen, []);
    });
  }

  test('a wrong value from the environment is named by its variable', async t => {
    process.env['TT_PORT'] = 'many';
    t.after(() => delete process.env['TT_PORT']);
    const { err } = await tulle(t, commands(undefined), ['serve']);
    assert.match(err.join(), /\$TT_PORT: "many"/);
  });
});

describe('an error', () => {
  const FAILURES: readonly (readonly [string, unknown, number, readonly string[]])[] = [
    [
      'with a hint in its cause',
      new TulleError('ODD', 'could not join', {
        cause: new TulleError('ODD', 'no\n  route', { hint: 'add one' }),
      }),
      1,
      ['tulle: error: could not join: no route', 'hint: add one'],
    ],
    ['of a system call', new SysError('bind', 13), 6, ['tulle: error: bind: permission denied (EACCES)']],
    [
      'of Node',
      Object.assign(new Error('ENOENT: no such file, open x'), { code: 'ENOENT', syscall: 'open' }),
      1,
      ['tulle: error: ENOENT: no such file, open x'],
    ],
    ['about something missing', new CommandError('NOT_FOUND', 'no lab x'), 7, ['tulle: error: no lab x']],
    ['that a signal caused', new Interrupted('SIGINT'), 130, ['']],
    [
      'that is many',
      new AggregateError(
        [new TulleError('UNAVAILABLE', 'a'), new TulleError('UNAVAILABLE', 'b')],
        'both failed',
      ),
      5,
      ['tulle: error: both failed: a; b'],
    ],
  ];
  for (const [what, failure, status, lines] of FAILURES) {
    test(`${what} has its line and its exit status`, async t => {
      const result = await tulle(t, commands(failure), ['fail']);
      assert.equal(result.status, status);
      assert.deepEqual(result.err, lines);
    });
  }

  test('that is unexpected is reported with its stack and our version', async t => {
    const { status, err } = await tulle(t, commands(new TypeError('x is undefined')), ['fail']);
    assert.equal(status, 70);
    assert.equal(err[0], 'tulle: error: internal error: x is undefined');
    assert.match(err.join('\n'), /program\.test\.ts:\d+/);
    assert.match(err.at(-2) ?? '', /^ {2}tulle \d+\.\d+\.\d+, Node\.js \d+/);
    assert.equal(err.at(-1), 'hint: this is a defect in Tulle; report it with these lines');
  });

  test('shows its stack when asked to', async t => {
    const failure = new CommandError('NOT_FOUND', 'no lab x');
    const { err } = await tulle(t, commands(failure), ['fail'], { TULLE_DEBUG: 'netlink,stack' });
    assert.match(err.join('\n'), /program\.test\.ts/);
  });
});
