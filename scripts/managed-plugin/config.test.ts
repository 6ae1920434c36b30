import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOptions } from '../../src/agent/options/options.ts';
import { DOCKER_PLUGIN_SOCKET } from '../../src/console/defaults.ts';
import { managedPluginConfig } from './config.ts';

const { entrypoint, env, mounts, linux } = managedPluginConfig;

test('dockerd finds both drivers at the socket that the agent opens', () => {
  assert.deepEqual(managedPluginConfig.interface, {
    types: ['docker.networkdriver/1.0', 'docker.ipamdriver/1.0'],
    socket: DOCKER_PLUGIN_SOCKET.replace('/run/docker/plugins/', ''),
  });
  assert.deepEqual(managedPluginConfig.network, { type: 'host' });
});

test('the agent understands its command line and every variable, as they are and as they may be set', () => {
  const [shell, option, script = '', , ...flags] = entrypoint;
  assert.deepEqual([shell, option], ['/bin/sh', '-c']);
  assert.match(script, /; exec \/opt\/tulle\/bin\/tulle agent "\$@"$/);
  const variables = Object.fromEntries(env.map(({ name, value }) => [name, value]));
  const options = parseOptions(flags, variables);
  assert.deepEqual(options.store.endpoints, ['http://127.0.0.1:2379']);
  assert.equal(options.lease.subnetFile, '/host/run/flannel/subnet.env');
  assert.equal(options.stateDirectory, '/host/var/lib/tulle');
  assert.deepEqual(options.warnings, []);
  const set = { ...variables, TULLE_ETCD_ENDPOINTS: 'https://etcd:2379', TULLE_IFACE: 'eth1' };
  assert.deepEqual(parseOptions(flags, set).store.endpoints, ['https://etcd:2379']);
  // Nothing of `docker plugin set` may be a secret: `docker plugin inspect` shows it to everybody in group docker.
  assert.ok(env.every(({ name }) => !/PASSWORD|TOKEN|SECRET/.test(name)));
});

test('what the agent keeps is on a disk that outlives the plugin, and all that is mounted is always there', () => {
  const at = new Map(mounts.map(each => [each.destination, each.source]));
  assert.equal(at.get('/host/var/lib'), '/var/lib');
  // A source that is not there when dockerd starts disables the plugin.
  assert.deepEqual([...at.values()], ['/run', '/var/lib', '/run/docker.sock']);
  for (const { name, settable, options } of mounts) {
    assert.deepEqual([name !== '', settable, options], [true, ['source'], ['rbind', 'rw']]);
  }
});

test('it asks for capabilities by name, and for no device', () => {
  assert.ok(linux.capabilities.includes('CAP_NET_ADMIN'));
  assert.ok(linux.capabilities.every(name => /^CAP_[A-Z_]+$/.test(name)));
  assert.deepEqual([linux.allowAllDevices, linux.devices], [false, []]);
});
