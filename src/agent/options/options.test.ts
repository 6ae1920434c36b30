import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ConfigError, formatProblem } from '../../base/errors.ts';
import { FLAGS } from './flags.ts';
import { parseGoBoolean, parseGoInteger } from './go-flags.ts';
import { INFORMATION_FLAGS, informationWanted } from './option-reader.ts';
import { type AgentOptions, parseOptions } from './options.ts';
import { UNUSED_FLAGS } from './unused-flags.ts';

const problemsOf = (args: readonly string[], environment: Record<string, string> = {}): string[] => {
  try {
    parseOptions(args, environment);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(formatProblem);
  }
  return [];
};

const warningsOf = (args: readonly string[], environment: Record<string, string> = {}): string[] =>
  parseOptions(args, environment).warnings.map(formatProblem);

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
    { args: ['--open-port=false'], want: o => !o.firewall.openPort },
    { args: ['--health-mesh=false'], want: o => !o.healthMesh },
    { args: ['--fast-path=off'], want: o => o.fastPath === 'off' },
    { args: ['--dns=off'], want: o => o.resolver.mode === 'off' },
    {
      args: ['--dns-upstream=10.0.0.1, 10.0.0.2:5353,[fd00::1]:53'],
      want: o =>
        o.resolver.upstream?.map(({ address, port }) => `${address} ${port}`).join() ===
        '10.0.0.1 53,10.0.0.2 5353,fd00::1 53',
    },
    { args: ['-v', '0x2'], want: o => o.verbosity === 2 },
    { args: ['--iface', 'a', '-iface=b'], want: o => o.underlay.interfaces.join() === 'a,b' },
    { args: ['--iface-regex', '^10\\.'], want: o => o.underlay.patterns[0]?.test('10.1') === true },
    { args: ['--v=3', '--'], want: o => o.verbosity === 3 },
    { args: ['--v=3', '--', '--v=4'], want: o => o.verbosity === 3 },
    { args: ['--v=3', 'word', '--v=4'], want: o => o.verbosity === 3 },
    { args: ['--v=3', '-', '--v=4'], want: o => o.verbosity === 3 },
    { args: ['--subnet-file', '--v=3'], want: o => o.lease.subnetFile.endsWith('/--v=3') },
    { args: ['--healthz-port=1_0'], want: o => o.health?.port === 10 },
  ];
  for (const { args, want } of cases) {
    test(args.join(' '), () => assert.ok(want(parseOptions(args, {}))));
  }

  test('a boolean takes no following word, which ends the flags and is a warning', () => {
    assert.equal(parseOptions(['--ip-masq', 'false'], {}).firewall.masquerade, true);
    assert.deepEqual(warningsOf(['--ip-masq', 'false', '--v=1']), [
      'false: has no effect, and 1 more after it: the first word that is no flag ends the flags, as in flannel ' +
        '(write --FLAG=VALUE; the value of a boolean needs the =)',
    ]);
  });

  test('what has dashes and no name is no flag', () => {
    for (const arg of ['---v', '--=v', '-=', '---']) {
      assert.deepEqual(problemsOf([arg]), [`${arg}: is not a flag (want --NAME, --NAME=VALUE or -NAME)`]);
    }
  });

  test('numbers and booleans in all of their spellings', () => {
    const numbers = {
      '10': 10,
      '-3': -3,
      '0x1f': 31,
      '0o17': 15,
      '017': 15,
      '0b11': 3,
      '0': 0,
      '1_0': 10,
      '0x_f': 15,
      '0_7': 7,
    };
    for (const [text, value] of Object.entries(numbers)) assert.equal(parseGoInteger(text), value, text);
    for (const text of ['', '1.5', '08', '1e3', 'x', '0x', ' 1', '_1', '1_', '1__0']) {
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
    assert.deepEqual(problemsOf([], { TULLE_IP_MASQ: 'maybe' }), [
      '$TULLE_IP_MASQ = "maybe": want true or false',
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
    underlay: { interfaces: [], patterns: [], publicIp: {} },
    lease: { subnetFile: '/run/flannel/subnet.env', renewMarginMinutes: 60, releaseOnStop: false },
    firewall: {
      masquerade: false,
      randomFully: true,
      forward: true,
      openPort: true,
      checkSenders: true,
      resyncSeconds: 5,
    },
    healthMesh: true,
    fastPath: 'auto',
    resolver: { mode: 'auto' },
    allowExtension: false,
    peerApi: {
      port: 8473,
      files: {
        caFile: '/var/lib/tulle/trust/ca.pem',
        certFile: '/var/lib/tulle/trust/host.pem',
        keyFile: '/var/lib/tulle/trust/host-key.pem',
      },
      areGiven: false,
    },
    dockerPlugin: { path: '/run/docker/plugins/tulle.sock', needs: 'docker' },
    stateDirectory: '/var/lib/tulle',
    socketPath: '/run/tulle/agent.sock',
    verbosity: 0,
    warnings: [],
    logFormat: 'auto',
  });
});

test('a second agent of a host leaves the Docker plugin to the first, unless it is told or passed the socket', () => {
  const choice = (...args: string[]) => parseOptions(args, {}).dockerPlugin;
  assert.equal(choice('--etcd-prefix=/other')?.needs, 'passed');
  assert.deepEqual(choice('--docker-plugin=/run/p.sock'), { path: '/run/p.sock', needs: 'nothing' });
  assert.equal(choice('--docker-plugin=off'), undefined);
  assert.throws(
    () => choice('--docker-plugin=on'),
    /--docker-plugin = "on": want auto, off, or an absolute path/,
  );
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
    {
      args: ['--metrics-ip=0.0.0.0', '--metrics-port=9000'],
      want: [
        '--metrics-ip = "0.0.0.0": is not loopback, so it needs certificates ' +
          '(give --metrics-certfile, --metrics-keyfile and --metrics-cafile)',
      ],
    },
    { args: ['--socket='], want: ['--socket = "": want a path'] },
    {
      args: ['--kube-subnet-mgr'],
      want: [
        '--kube-subnet-mgr = "true": is not supported ' +
          '(Tulle takes its configuration from etcd, not from Kubernetes)',
      ],
    },
  ];
  for (const { args, want } of cases) test(args.join(' '), () => assert.deepEqual(problemsOf(args), want));

  test('everything is reported at once', () => {
    assert.equal(problemsOf(['--v=x', '--healthz-port=70000', '--nope'], { TULLE_IP_MASQ: '?' }).length, 4);
  });

  test('a password is never repeated', () => {
    const wrong = ['--etcd-endpoints=http://root:hunter2@h:1', '--etcd-password=hunter2', '--v=x'];
    assert.doesNotMatch(problemsOf(wrong).join(), /hunter2/);
    assert.doesNotMatch(warningsOf(['--ip-masq', 'false', '--etcd-password=hunter2']).join(), /hunter2/);
    assert.doesNotMatch(warningsOf(['--etcd-password=hunter2']).join(), /hunter2/);
  });
});

// H1: the flags of flannel's functional tests name the files of TLS beside an http endpoint.
describe('H1: what etcd access does not need is a warning and not used', () => {
  const files = ['--etcd-cafile=/ca', '--etcd-certfile=/cert', '--etcd-keyfile=/key'];

  test('files without an https endpoint', () => {
    const args = ['--etcd-endpoints=http://10.0.0.1:2379', ...files];
    assert.deepEqual(parseOptions(args, {}).store, {
      endpoints: ['http://10.0.0.1:2379'],
      prefix: '/coreos.com/network',
    });
    assert.deepEqual(warningsOf(args), [
      '--etcd-cafile = "/ca": is not used, because no endpoint is https',
      '--etcd-certfile = "/cert": is not used, because no endpoint is https',
      '--etcd-keyfile = "/key": is not used, because no endpoint is https',
    ]);
    const variables = { FLANNELD_ETCD_CAFILE: '/ca', FLANNELD_ETCD_ENDPOINTS: 'http://10.0.0.1:2379' };
    assert.deepEqual(warningsOf([], variables), [
      '$FLANNELD_ETCD_CAFILE = "/ca": is not used, because no endpoint is https',
    ]);
  });

  test('files are used where one of the endpoints is https', () => {
    const args = ['--etcd-endpoints=http://10.0.0.1:2379,https://10.0.0.2:2379', ...files];
    const { caFile, certFile, keyFile } = parseOptions(args, {}).store;
    assert.deepEqual([caFile, certFile, keyFile], ['/ca', '/cert', '/key']);
    assert.deepEqual(warningsOf(args), []);
  });

  test('one of two that belong together', () => {
    const https = '--etcd-endpoints=https://10.0.0.1:2379';
    for (const [given, absent] of [
      ['etcd-keyfile', 'etcd-certfile'],
      ['etcd-certfile', 'etcd-keyfile'],
      ['etcd-username', 'etcd-password'],
      ['etcd-password', 'etcd-username'],
    ]) {
      const args = [https, `--${given}=x`];
      assert.deepEqual(Object.keys(parseOptions(args, {}).store), ['endpoints', 'prefix']);
      assert.deepEqual(warningsOf(args), [`--${given}: has no effect without --${absent}`]);
    }
  });
});

// H2
test('H2: the prefix is the key that flannel would use', () => {
  const prefixes = {
    'coreos.com/network': 'coreos.com/network',
    '/coreos.com//network/': '/coreos.com/network',
    '/a/./b/../c': '/a/c',
    '/': '/',
    '': '.',
  };
  for (const [given, prefix] of Object.entries(prefixes)) {
    assert.equal(parseOptions([`--etcd-prefix=${given}`], {}).store.prefix, prefix, given);
  }
});

// H3
describe("H3: a unit file of flannel's starts Tulle", () => {
  const other: Record<string, string> = { 'ip-blackhole-route': 'true', 'set-node-network-unavailable': '0' };

  for (const { name, default: standard, refused } of UNUSED_FLAGS) {
    test(`--${name} is taken, and a warning unless it has its default`, () => {
      const variable = `FLANNELD_${name.toUpperCase().replaceAll('-', '_')}`;
      assert.deepEqual(warningsOf([`--${name}=${standard}`]), []);
      assert.deepEqual(warningsOf([], { [variable]: standard }), []);
      if (refused) return;
      const value = other[name] ?? 'x';
      assert.match(warningsOf([`-${name}=${value}`]).join(), new RegExp(`^--${name} = .* has no effect \\(`));
      assert.match(
        warningsOf([], { [variable]: value }).join(),
        new RegExp(`^\\$${variable} = .* has no eff`),
      );
    });
  }

  test('every flag of flannel is known', () => {
    const known = new Set<string>([...FLAGS, ...UNUSED_FLAGS].map(({ name }) => name));
    for (const name of Object.keys(INFORMATION_FLAGS)) known.add(name);
    // flannel main.go, v0.28.10
    const flannels = `
      etcd-endpoints etcd-prefix etcd-keyfile etcd-certfile etcd-cafile etcd-username etcd-password iface
      iface-regex iface-can-reach subnet-file public-ip public-ipv6 subnet-lease-renew-margin ip-masq
      ip-masq-fully-random-disable kube-subnet-mgr kube-api-url kube-annotation-prefix kubeconfig-file version
      healthz-ip healthz-port iptables-resync iptables-forward-rules ip-blackhole-route net-config-path
      set-node-network-unavailable v vmodule log_backtrace_at help h`.match(/\S+/g);
    assert.deepEqual(
      flannels?.filter(name => !known.has(name)),
      [],
    );
  });

  test('numbers that flannel takes and Tulle has no use for', () => {
    const period = (value: string) => parseOptions([`-iptables-resync=${value}`], {}).firewall.resyncSeconds;
    assert.deepEqual(['0', '-5', '100000'].map(period), [1, 1, 86_400]);
    assert.deepEqual(warningsOf(['-iptables-resync=0', '-v=11']), [
      '--iptables-resync = "0": counts as 1 (want a whole number from 1 to 86400)',
      '--v = "11": counts as 10 (want a whole number from 0 to 10)',
    ]);
  });

  test("a variable of flannel's that cannot be read counts as zero or false, with a warning", () => {
    const { firewall, health } = parseOptions([], {
      FLANNELD_IP_MASQ: 'yes',
      FLANNELD_IPTABLES_FORWARD_RULES: 'on',
      FLANNELD_HEALTHZ_PORT: 'http',
    });
    assert.deepEqual([firewall.masquerade, firewall.forward, health], [false, false, undefined]);
    assert.deepEqual(warningsOf([], { FLANNELD_IP_MASQ: 'yes', FLANNELD_HEALTHZ_PORT: 'http' }), [
      '$FLANNELD_HEALTHZ_PORT = "http": counts as 0, as in flannel (want a whole number from 0 to 65535)',
      '$FLANNELD_IP_MASQ = "yes": counts as false, as in flannel (want true or false)',
    ]);
    for (const yes of ['1', 't', 'T', 'TRUE', 'true', 'True']) {
      assert.equal(parseOptions([], { FLANNELD_IP_MASQ: yes }).firewall.masquerade, true, yes);
    }
  });

  test("a regular expression in Go's spelling", () => {
    const { patterns } = parseOptions(['--iface-regex=(?i)^ETH(?P<number>\\d)$'], {}).underlay;
    assert.deepEqual(
      ['eth0', 'Eth1', 'xeth0', 'eth'].map(name => patterns[0]?.test(name)),
      [true, true, false, false],
    );
  });

  test('asking for a text, in every form that Go takes', () => {
    for (const args of [['-version'], ['--version'], ['-v=1', '-version=T'], ['--version', '--nope']]) {
      assert.equal(informationWanted(args), 'version', args.join(' '));
    }
    for (const args of [['-help'], ['-h'], ['--help'], ['-version', '-help']]) {
      assert.equal(informationWanted(args), 'help', args.join(' '));
    }
    for (const args of [
      [],
      ['-version=false'],
      ['--', '-help'],
      ['--iface', '-help'],
      ['word', '-version'],
    ]) {
      assert.equal(informationWanted(args), undefined, args.join(' '));
    }
    assert.deepEqual(problemsOf(['-version=false']), []);
  });

  test('a path that is not absolute begins at the working directory', () => {
    assert.equal(parseOptions(['--subnet-file=s.env'], {}).lease.subnetFile, join(process.cwd(), 's.env'));
  });

  test('no name is in two tables', () => {
    const names = [...FLAGS, ...UNUSED_FLAGS].map(({ name }) => name).concat(Object.keys(INFORMATION_FLAGS));
    assert.equal(new Set(names).size, names.length);
  });
});

test('endpoints are brought to one form', () => {
  const { store } = parseOptions(['--etcd-endpoints=https://a:2379/, https://a:2379'], {});
  assert.deepEqual(store.endpoints, ['https://a:2379']);
});
