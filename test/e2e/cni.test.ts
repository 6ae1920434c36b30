/**
 * Real runtimes on two hosts: containerd (`ctr run --cni`) and podman with its CNI backend, after nothing but
 * `tulle install cni --podman`.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { run } from '../../src/sys/process.ts';
import { hasProgram, requires } from '../support/capabilities.ts';
import { type CniHost, cniHosts } from '../support/cni-host.ts';
import { eventually } from '../support/eventually.ts';
import { needsLab } from '../support/lab.ts';

const missing = ['ctr', 'containerd', 'podman', 'runc', 'busybox'].filter(program => !hasProgram(program));
const NEEDS = requires(missing.length === 0, `not installed: ${missing.join(', ')}`);
const SOCKET = '/run/containerd/containerd.sock';

/** A root file system with busybox, as a directory for `ctr --rootfs` and as a tar for `podman import`. */
async function busybox(directory: string): Promise<void> {
  const root = join(directory, 'root');
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp'])
    mkdirSync(join(root, name), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of ['sh', 'ip', 'ping', 'sleep', 'wget', 'httpd', 'cat', 'nslookup'])
    symlinkSync('busybox', join(root, 'bin', name));
  await run('tar', ['-C', root, '-cf', join(directory, 'busybox.tar'), '.']);
}

/** Places of its own below what a host of a lab has for itself: /etc, /run and /var/lib. */
async function installRuntimes(host: CniHost, directory: string): Promise<void> {
  await host.run('mkdir -p /run/cni/bin /run/containerd');
  await host.run('find /etc/cni/net.d -type f -delete');
  const places = ['--bin-dir', '/run/cni/bin'];
  const { stderr } = await host.host.run(TULLE, ['install', 'cni', ...places]);
  assert.match(stderr, /podman run --network tulle/);
  const config = [
    'version = 2',
    'root = "/var/lib/containerd"',
    'state = "/run/containerd"',
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\naddress = "${SOCKET}"`,
  ].join('\n');
  writeFileSync(join(directory, 'containerd.toml'), config);
  const podman = [
    '[containers]\nlog_driver = "k8s-file"',
    '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"',
    '[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["/run/cni/bin"]',
  ].join('\n');
  writeFileSync(join(directory, 'containers.conf'), podman);
}

test('containerd and podman', {
  ...needsLab(),
  ...(NEEDS.skip !== false && NEEDS),
}, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-cni-'));
  t.after(() => rmSync(directory, { recursive: true }));
  await busybox(directory);
  let isBroken = true;
  const hosts = await cniHosts(t, () => isBroken);
  const [one, two] = hosts;
  for (const host of hosts) await installRuntimes(host, directory);
  const podman = async (...args: string[]) => {
    const places = ['--root', '/var/lib/podman', '--runroot', '/run/podman', '--storage-driver', 'vfs'];
    const env = { ...process.env, CONTAINERS_CONF: join(directory, 'containers.conf') };
    return (await one.host.run('podman', [...places, ...args], { env, timeout: 60_000 })).stdout.trim();
  };

  await podman('import', join(directory, 'busybox.tar'), 'busybox');
  assert.match(await podman('network', 'ls', '--format', '{{.Name}} {{.Driver}}'), /^tulle tulle$/m);
  const serve = 'echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp';
  const asked = ['--network', 'tulle', '--publish', '8080:80', '--network-alias', 'db'];
  await podman('run', '--detach', '--name', 'web', ...asked, 'busybox', '/bin/sh', '-c', serve);
  const ip = await podman('inspect', 'web', '--format', '{{.NetworkSettings.Networks.tulle.IPAddress}}');
  assert.match(await podman('exec', 'web', 'cat', '/etc/resolv.conf'), /^nameserver 169\.254\.53\.53$/m);
  assert.match((await one.host.run(TULLE, ['ports'])).stdout, /^8080\/tcp .* web /m);
  const curl = (url: string) => two.host.run('curl', ['-sS', '--max-time', '3', url], { anyStatus: true });
  const published = async () => (await curl('http://192.168.65.3:8080/')).stdout === 'hello\n';
  await eventually('the published port answers on the other host', published);

  await two.host.start('containerd', ['--config', join(directory, 'containerd.toml')], 'containerd');
  const isServing = () => two.host.run('ctr', ['--address', SOCKET, 'version'], { anyStatus: true });
  await eventually('containerd serves', async () => (await isServing()).status === 0);
  // Where ctr of containerd 1.6 looks is fixed; the host's own /opt is not there for it.
  const script = [
    'mount -t tmpfs none /opt && mkdir -p /opt/cni && ln -s /run/cni/bin /opt/cni/bin',
    `exec ctr --address ${SOCKET} run --rm --cni --rootfs ${join(directory, 'root')} client /bin/sh -c "$1"`,
  ].join('\n');
  const inside = `ping -c 1 -W 10 ${ip} && wget -q -O - http://${ip}/ && ip -4 -o address show eth0`;
  const ctr = ['-m', 'sh', '-ec', script, 'sh', inside];
  const { stdout } = await two.host.run('unshare', ctr);
  assert.match(stdout, /^hello$/m, 'containerd reaches podman on the other host');
  assert.match(stdout, /inet 188\.172\.\d+\.\d+\/24/);
  assert.deepEqual(await two.leftovers(), []);

  await podman('rm', '--force', '--time', '0', 'web');
  assert.deepEqual(await one.leftovers(), []);

  // What netavark 1.4 says of a driver that is no part of it: plugins came with 1.6.
  const network = { name: 'tulle', id: 'a'.repeat(64), driver: 'tulle', subnets: [], ipv6_enabled: false };
  const setup = {
    container_id: 'b'.repeat(64),
    container_name: 'web',
    networks: { tulle: { interface_name: 'eth0' } },
    network_info: { tulle: { ...network, internal: false, dns_enabled: false } },
  };
  const netns = await one.addNetns('n');
  const netavark = ['/usr/lib/podman/netavark', '/usr/libexec/podman/netavark'];
  const { stdout: program } = await one.host.run('ls', netavark, { anyStatus: true });
  const input = JSON.stringify(setup);
  const refused = await one.host.run(program.trim(), ['setup', netns], { input, anyStatus: true });
  if ((await one.run(`${program.trim()} --version`)).includes(' 1.4.'))
    assert.match(refused.stdout, /unknown network driver tulle/);
  isBroken = false;
});
