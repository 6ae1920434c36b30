import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { install, installDocker, type Systemd, uninstall } from './install.ts';
import { PLUGIN_SOCKET, UNITS } from './units.ts';

/** A directory for units, and a systemctl that records its arguments. */
function systemd(t: TestContext): Systemd & { readonly calls: string[] } {
  const directory = mkdtempSync(join(tmpdir(), 'tt-units-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const calls: string[] = [];
  return {
    directory,
    calls,
    run: async (_, args) => {
      calls.push(args.join(' '));
      return { status: 0, stdout: '', stderr: '' };
    },
  };
}

const PROGRAM = '/opt/tulle/bin/tulle';

test('installs a unit that starts the daemon with its flags, and takes it away again', async t => {
  const manager = systemd(t);
  const path = await install(manager, 'agent', { program: PROGRAM, flags: ['--iface=eth0', '--ip-masq'] });
  assert.equal(path, join(manager.directory, 'tulle-agent.service'));
  assert.match(
    readFileSync(path, 'utf8'),
    /^ExecStart=\/opt\/tulle\/bin\/tulle agent --iface=eth0 --ip-masq$/m,
  );
  assert.equal(statSync(path).mode & 0o777, 0o644);
  assert.deepEqual(manager.calls.splice(0), [
    'daemon-reload',
    'enable tulle-agent.service',
    'restart --no-block tulle-agent.service',
  ]);
  assert.deepEqual(await uninstall(manager), [path]);
  assert.deepEqual(manager.calls.splice(0), ['disable --now tulle-agent.service', 'daemon-reload']);
  assert.deepEqual(readdirSync(manager.directory), []);
  assert.deepEqual(await uninstall(manager), []);
  assert.deepEqual(manager.calls, []);
});

test('the socket of the Docker plugin is opened for the daemon that is installed, while that is stopped', async t => {
  const manager = systemd(t);
  await assert.rejects(installDocker(manager), { code: 'NOT_NOW', hint: /tulle install up/ });
  assert.deepEqual([readdirSync(manager.directory), manager.calls], [[], []]);
  await install(manager, 'agent', { program: PROGRAM, flags: [] });
  manager.calls.splice(0);
  const path = await installDocker(manager);
  assert.match(readFileSync(path, 'utf8'), /^Service=tulle-agent\.service$/m);
  // systemd refuses to start a socket whose service is active.
  const opened = [
    'daemon-reload',
    'enable tulle-docker.socket',
    'stop tulle-docker.socket tulle.service tulle-agent.service',
    'start tulle-docker.socket',
  ];
  assert.deepEqual(manager.calls.splice(0), [...opened, 'start --no-block tulle-agent.service']);

  // Another daemon takes the place of the first.
  await install(manager, 'up', { program: PROGRAM, flags: [] });
  assert.match(readFileSync(path, 'utf8'), /^Service=tulle\.service$/m);
  assert.deepEqual(manager.calls.splice(0), [
    ...opened,
    'start --no-block tulle.service',
    'enable tulle.service',
  ]);

  const [first] = await uninstall(manager);
  assert.equal(first, path, 'a socket that is left would start its daemon again');
  assert.deepEqual(readdirSync(manager.directory), []);
});

test('dockerd finds the socket of the plugin as soon as it starts, and root alone may connect', () => {
  const text = PLUGIN_SOCKET.text('up');
  assert.match(text, /^Before=docker\.service$/m);
  assert.match(text, /^ListenStream=\/run\/docker\/plugins\/tulle\.sock$/m);
  assert.match(text, /^FileDescriptorName=docker-plugin$/m);
  assert.match(text, /^SocketMode=0600$/m);
});

test('a daemon is started again whenever it ends, and never given up (G4)', () => {
  for (const { text } of Object.values(UNITS)) {
    const unit = text({ program: PROGRAM, flags: [] });
    assert.match(unit, /^\[Unit\]\n(.+\n)*StartLimitIntervalSec=0\n/m);
    assert.match(unit, /^\[Service\]\n(.+\n)*Restart=always\n/m);
  }
});

test('what other services and the next start need of a unit is in it', () => {
  const unitOf = (daemon: keyof typeof UNITS) => UNITS[daemon].text({ program: PROGRAM, flags: [] });
  // A host without an environment file is in order.
  for (const daemon of ['up', 'agent', 'store'] as const) {
    assert.match(unitOf(daemon), new RegExp(`^EnvironmentFile=-/etc/tulle/${daemon}\\.env$`, 'm'));
    assert.match(unitOf(daemon), /^WantedBy=multi-user\.target$/m);
  }
  for (const daemon of ['up', 'agent'] as const) {
    const unit = unitOf(daemon);
    // Docker is started with the subnet, and reads its file also while the agent is away.
    assert.match(unit, /^Before=docker\.service$/m);
    assert.match(unit, /^RuntimeDirectoryPreserve=yes$/m);
    // The store may be down for as long as it likes.
    assert.match(unit, /^TimeoutStartSec=infinity$/m);
    assert.match(unit, /^RestrictAddressFamilies=.*\bAF_NETLINK\b/m);
    assert.match(unit, /^CapabilityBoundingSet=.*\bCAP_NET_ADMIN\b/m);
  }
  // Both would hold a lease of this host.
  assert.match(unitOf('up'), /^Conflicts=.*\btulle-agent\.service\b/m);
  assert.match(unitOf('agent'), /^Conflicts=tulle\.service$/m);
});

test('a secret in a unit is refused, and nothing is written', async t => {
  const manager = systemd(t);
  for (const flag of ['--etcd-password=x', '-etcd-password', '--join=tulle1.x', '--join']) {
    await assert.rejects(install(manager, 'agent', { program: PROGRAM, flags: [flag] }), { code: 'USAGE' });
  }
  assert.deepEqual(readdirSync(manager.directory), []);
});

test('a word of the command line stays one word, whatever is in it', () => {
  const flags = ['--iface-regex=^(eth|ens)\\d+$', '--name=a b', '100%', 'say "hi"'];
  const text = UNITS.agent.text({ program: PROGRAM, flags });
  assert.ok(
    text.includes(
      'ExecStart=/opt/tulle/bin/tulle agent "--iface-regex=^(eth|ens)\\\\d+$$" "--name=a b" 100%% "say \\"hi\\""\n',
    ),
    text,
  );
});

const analyze = spawnSync('systemd-analyze', ['--version']).error === undefined;
const noAnalyze = analyze || process.env['CI'] === 'true' ? false : 'needs systemd-analyze';

test('systemd itself finds nothing wrong with the units', { skip: noAnalyze }, t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-verify-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const files = Object.values(UNITS).map(({ file, text }) => {
    const path = join(directory, file);
    writeFileSync(path, text({ program: '/bin/true', flags: ['--iface=eth0', 'a b$'] }));
    return path;
  });
  files.push(join(directory, PLUGIN_SOCKET.file));
  writeFileSync(files.at(-1) ?? '', PLUGIN_SOCKET.text('agent'));
  const { stderr, status } = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  const about = stderr
    .split('\n')
    .filter(line => line.includes(directory) || /tulle-\w+\.(service|socket)/.test(line));
  assert.deepEqual(about, []);
  assert.equal(status, 0, stderr);
});
