import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, formatProblem } from '../base/errors.ts';
import { FLAGS, REFUSED_FLAGS } from './flags.ts';
import { parseGoBoolean, parseGoInteger } from './go-flags.ts';
import { type AgentOptions, parseOptions } from './options.ts';

const problemsOf = (args: readonly string[], environment: Record<string, string> = {}): string[] => {
  try {
    parseOptions(args, environment);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(formatProblem);
  }
  return [];
};

describe('the syntax of Go flags', () => {
  const cases: readonly { readonly args: string[]; readonly want: (options: AgentOptions) => unknown }[] = [
    { args: ['--state-dir', '/s'], want: o => o.stateDirectory === '/s' },
    { args: ['-state-dir', '/s'], want: o => o.stateDirectory === '/s' },
    { args: ['-state-dir=/s'], want: o => o.stateDirectory === '/s' },
    { args: ['--state-dir=/a=b'], want: o => o.stateDirectory === '/a=b' },
    { args: ['--ip-masq'], want: o => o.firewall.masquerade },
    { args: ['-ip-masq=true'], want: o => o.firewall.masquerade },
    { args: ['--ip-masq=T', '--v=1'], want: o => o.firewall.masquerade && o.verbosity === 1 },
    { args: ['--ip-masq', '--ip-masq=false'], want: o => !o.firewall.masquerade },
    { args: ['--iptables-forward-rules=false'], want: o => !o.firewall.forward },
    { args: ['-v', '0x2'], want: o => o.verbosity === 2 },
    { args: ['--iface', 'a', '-iface=b'], want: o => o.underlay.interfaces.join() === 'a,b' },
    { args: ['--iface-regex', '^10\\.'], want: o => o.underlay.patterns[0]?.test('10.1') === true },
    { args: ['--v=3', '--'], want: o => o.verbosity === 3 },
  ];
  for (const { args, want } of cases) {
    test(args.join(' '), () => assert.ok(want(parseOptions(args, {}))));
  }

  test('a boolean takes no following word', () => {
    assert.deepEqual(problemsOf(['--ip-masq', 'false']), ['false: is not a flag (flags begin with -- or -)']);
  });

  test('numbers and booleans in all of their spellings', () => {
    const numbers = { '10': 10, '-3': -3, '0x1f': 31, '0o17': 15, '017': 15, '0b11': 3, '0': 0 };
    for (const [text, value] of Object.entries(numbers)) assert.equal(parseGoInteger(text), value, text);
    for (const text of ['', '1.5', '08', '1e3', 'x', '0x', ' 1']) {
      assert.equal(parseGoInteger(text), undefined, text);
    }
    for (const text of ['', 'yes', 'tRUE', '2']) assert.equal(parseGoBoolean(text), undefined, text);
  });
});

describe('precedence', () => {
  const environment = { TULLE_STATE_DIR: '/tulle', FLANNELD_STATE_DIR: '/flannel' };
  const directory = (args: string[], variables: Record<string, string>) =>
    parseOptions(args, variables).stateDirectory;

  test('command line, then TULLE_*, then FLANNELD_*, then the default', () => {
    assert.equal(directory(['--state-dir=/flag'], environment), '/flag');
    assert.equal(directory([], environment), '/tulle');
    assert.equal(directory([], { FLANNELD_STATE_DIR: '/flannel' }), '/flannel');
    assert.equal(directory([], {}), '/var/lib/tulle');
  });

  test('an empty variable counts as not set', () => {
    assert.equal(directory([], { ...environment, TULLE_STATE_DIR: '' }), '/flannel');
  });

  test('a problem names the variable it came from', () => {
    assert.deepEqual(problemsOf([], { FLANNELD_IP_MASQ: 'maybe' }), [
      '$FLANNELD_IP_MASQ = "maybe": want true or false',
    ]);
  });
});

test("flannel's defaults", () => {
  const options = parseOptions([], {});
  assert.deepEqual(options, {
    store: {
      endpoints: ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'],
      prefix: '/coreos.com/network',
    },
    underlay: { interfaces: [], patterns: [] },
    lease: { subnetFile: '/run/flannel/subnet.env', renewMarginMinutes: 60, releaseOnStop: false },
    firewall: { masquerade: false, randomFully: true, forward: true, resyncSeconds: 5 },
    stateDirectory: '/var/lib/tulle',
    socketPath: '/run/tulle/agent.sock',
    verbosity: 0,
  });
});

describe('what is wrong', () => {
  const cases: readonly { readonly args: string[]; readonly want: string[] }[] = [
    { args: ['--ifase=x'], want: ['--ifase: is not a known flag (did you mean --iface?)'] },
    { args: ['--iface'], want: ['--iface: needs a value'] },
    {
      args: ['--subnet-lease-renew-margin=1440'],
      want: ['--subnet-lease-renew-margin = "1440": want a whole number from 1 to 1439'],
    },
    { args: ['--public-ip=fd00::1'], want: ['--public-ip = "fd00::1": want an IPv4 address'] },
    { args: ['--public-ip=0.0.0.0'], want: ['--public-ip = "0.0.0.0": is not the address of a host'] },
    { args: ['--iface-regex=('], want: ['--iface-regex = "(": is not a regular expression'] },
    {
      args: ['--etcd-endpoints=ftp://a:1'],
      want: [
        '--etcd-endpoints = "ftp://a:1": has the unknown scheme ftp ' +
          '(want http://HOST:PORT, https://HOST:PORT or unix:///PATH)',
      ],
    },
    { args: ['--etcd-keyfile=/k'], want: ['--etcd-keyfile: needs --etcd-certfile too'] },
    { args: ['--etcd-username=root'], want: ['--etcd-username: needs --etcd-password too'] },
    { args: ['--etcd-cafile=/ca'], want: ['--etcd-cafile: is given, but no endpoint is https'] },
    {
      args: ['--metrics-ip=0.0.0.0', '--metrics-port=9000'],
      want: [
        '--metrics-ip = "0.0.0.0": is not loopback, so it needs certificates ' +
          '(give --metrics-certfile, --metrics-keyfile and --metrics-cafile)',
      ],
    },
    { args: ['--socket=agent.sock'], want: ['--socket = "agent.sock": want an absolute path'] },
  ];
  for (const { args, want } of cases) test(args.join(' '), () => assert.deepEqual(problemsOf(args), want));

  test('everything is reported at once', () => {
    assert.equal(problemsOf(['--v=x', '--healthz-port=70000', '--nope'], { TULLE_IP_MASQ: '?' }).length, 4);
  });

  test('a password is never repeated', () => {
    const wrong = ['--etcd-endpoints=http://root:hunter2@h:1', '--etcd-password=hunter2', '--v=x'];
    assert.doesNotMatch(problemsOf(wrong).join(), /hunter2/);
  });
});

describe("flannel's flags that do not exist here", () => {
  for (const { name, default: standard, boolean } of REFUSED_FLAGS) {
    test(`--${name} is accepted at its default and refused otherwise`, () => {
      assert.deepEqual(problemsOf([`--${name}=${standard}`]), []);
      const other = boolean ? String(standard !== 'true') : 'other';
      assert.match(problemsOf([`--${name}=${other}`]).join(), /is not supported/);
    });
  }

  test('no name is both taken and refused', () => {
    const names = [...FLAGS, ...REFUSED_FLAGS].map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
  });
});

test('endpoints and prefix are brought to one form', () => {
  const { store } = parseOptions(
    ['--etcd-endpoints=https://a:2379/, https://a:2379', '--etcd-prefix=coreos.com//network/'],
    {},
  );
  assert.deepEqual(store, { endpoints: ['https://a:2379'], prefix: '/coreos.com/network' });
});
