/** The whole agent on real kernels and a real etcd: what it does when all is well, and that it can be replaced. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { describe, test } from 'node:test';
import { needsRoot } from '../support/capabilities.ts';
import { Cluster, CONFIG } from '../support/cluster.ts';
import { countOf } from '../support/cluster-host.ts';
import { needsEtcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;

describe('two hosts', needs, () => {
  test('join by themselves, and their containers talk', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const status = await one.until('there is no warning', ({ warnings }) => warnings.length === 0);
    assert.equal(status.agent.state, 'ready');
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
    assert.deepEqual(await to.ping(from), { sent: 3, received: 3 });

    const { ip, length } = await one.subnet();
    assert.equal(
      readFileSync(one.subnetFile, 'utf8'),
      `FLANNEL_NETWORK=10.77.0.0/16\nFLANNEL_SUBNET=${ip}/${length}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n`,
    );
    const { TulleMachine: _, ...value } = await cluster.leaseValue(status.lease?.key ?? '');
    const mac = (await one.ip.links.get('flannel.88'))?.mac;
    assert.deepEqual(value, {
      PublicIP: '192.168.65.3',
      PublicIPv6: null,
      BackendType: 'vxlan',
      BackendData: { VNI: 88, VtepMAC: String(mac) },
      TulleHost: status.host.id,
      TulleHostName: status.host.name,
      TulleTunnelPort: 4789,
    });
  });

  test('one that is killed loses no packet, and the next one adopts everything without a write', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const before = await one.untilAtLinks(1);
    await from.ping(to);

    const pinging = from.ping(to, { count: 200 });
    await one.killAgent();
    await one.startAgent();
    const after = await one.untilConnected(1);
    assert.deepEqual(await pinging, { sent: 200, received: 200 });
    assert.equal(after.dataplane.writes, 0);
    assert.equal(after.lease?.key, before.lease?.key);
    assert.equal(after.lease?.storeLease, before.lease?.storeLease);
    assert.equal(after.host.id, before.host.id);
  });

  test('one that is asked to stop leaves lease, tunnel and file, and ends with 0', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    assert.equal(await one.stopAgent(), 0);
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
    assert.equal((await cluster.leaseKeys()).length, 2);
    assert.ok(existsSync(one.subnetFile));
    assert.equal(countOf(await two.client.status(), 'ok'), 1);
  });

  test('one that gives its lease back is forgotten by the other', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const { lease } = await one.client.status();
    assert.deepEqual(await one.client.releaseLease(), { released: lease?.key });
    await two.until('the peer is gone', ({ peers }) => peers.length === 0);
    await eventually('its route is gone', async () => {
      return (await two.ip.routes.list({ family: 'ipv4', protocol: 77 })).length === 0;
    });
    assert.equal((await cluster.leaseKeys()).length, 1);
  });

  test('with --release-lease a stop gives the lease back', async t => {
    const cluster = await Cluster.start(t, { hosts: 1 });
    await cluster.startAgents('--release-lease');
    assert.equal(await cluster.host(1).stopAgent(), 0);
    assert.deepEqual(await cluster.leaseKeys(), []);
  });

  test('a second agent on the same host names the first', async t => {
    const cluster = await Cluster.start(t, { hosts: 1 });
    await cluster.startAgents();
    const host = cluster.host(1);
    const { pid } = await host.client.status();
    await assert.rejects(host.startAgent(), /an agent already runs/);
    assert.equal((await host.client.status()).pid, pid);
  });
});

test('two families: two devices, one lease, both ways', needs, async t => {
  const cluster = await Cluster.start(t, {
    config: { ...CONFIG, EnableIPv6: true, IPv6Network: 'fd77::/48' },
  });
  for (const [index, host] of cluster.hosts.entries()) await host.addAddress(`fd65::${index + 3}/64`);
  await cluster.startAgents();
  const [one, two] = [cluster.host(1), cluster.host(2)];
  const status = await one.client.status();
  assert.deepEqual(
    status.backend?.devices.map(({ name, mtu }) => [name, mtu]),
    [
      ['flannel.88', 1450],
      ['flannel-v6.88', 1430],
    ],
  );
  assert.match(status.lease?.key ?? '', /^10\.77\.\d+\.0-24&fd77:.*-64$/);
  assert.match(readFileSync(one.subnetFile, 'utf8'), /^FLANNEL_IPV6_SUBNET=fd77:.*::1\/64$/m);
  const routes = await one.ip.routes.list({ family: 'ipv6', protocol: 77 });
  const { lease } = await two.client.status();
  assert.deepEqual(
    routes.map(({ destination }) => String(destination)),
    [lease?.subnet.ipv6],
  );
});

test('a host that flannel ran on is taken over with its device, MAC and subnet', needs, async t => {
  const cluster = await Cluster.start(t, { hosts: 1 });
  const host = cluster.host(1);
  const mac = 'c6:d2:32:6f:8f:44';
  await host.shell(
    `ip link add flannel.88 address ${mac} mtu 1450 type vxlan id 88 dev eth0 ` +
      'local 192.168.65.3 dstport 4789 nolearning',
  );
  await host.shell('ip address add 10.77.42.0/32 dev flannel.88');
  await host.shell('ip link set flannel.88 up');
  const index = await host.linkIndex('flannel.88');
  await cluster.putLease('10.77.42.0-24', {
    PublicIP: '192.168.65.3',
    PublicIPv6: null,
    BackendType: 'vxlan',
    BackendData: { VNI: 88, VtepMAC: mac },
  });
  await cluster.startAgents();
  const { lease } = await host.client.status();
  assert.equal(lease?.key, '10.77.42.0-24');
  assert.equal(await host.linkIndex('flannel.88'), index);
  const value = await cluster.leaseValue('10.77.42.0-24');
  assert.deepEqual(value['BackendData'], { VNI: 88, VtepMAC: mac });
});

test('a host that does not forward packets is warned about', needs, async t => {
  const cluster = await Cluster.start(t, { hosts: 1 });
  await cluster.startAgents();
  const host = cluster.host(1);
  await host.shell('sysctl -q -w net.ipv4.ip_forward=0');
  const { warnings } = await host.until('it is warned', status => status.warnings.length > 0);
  assert.equal(warnings[0]?.code, 'FORWARDING_OFF');
  await host.shell('sysctl -q -w net.ipv4.ip_forward=1');
  await host.until('it is well', status => status.warnings.length === 0);
});

test('readyz and metrics agree with the status', needs, async t => {
  const cluster = await Cluster.start(t, { hosts: 1, config: 'none' });
  const host = cluster.host(1);
  const get = async (port: number, path: string) => {
    const script = `const r = await fetch('http://127.0.0.1:${port}${path}'); console.log(r.status, await r.text())`;
    return host.run(process.execPath, ['--input-type=module', '-e', script]);
  };
  await host.startAgent('--healthz-port=8081', '--metrics-port=8082');
  await host.until('it waits', ({ agent }) => agent.state === 'waiting');
  const waiting = await eventually('the server listens', () => get(8081, '/readyz'));
  assert.match(waiting, /^503 .*the store has no network configuration/);
  assert.match(await get(8081, '/healthz'), /^200 /);
  await cluster.configure(CONFIG);
  await host.untilConnected(0);
  assert.match(await get(8081, '/readyz'), /^200 .*"ready":true/);
  assert.match(await get(8082, '/metrics'), /^tulle_ready 1$/m);
});

test('the registry is checked: each bad entry is reported once, and the good peers stay', needs, async t => {
  // The agents lease what lies between; the keys below and above are the test's own.
  const config = { ...CONFIG, SubnetMin: '10.77.16.0', SubnetMax: '10.77.191.0' };
  const cluster = await Cluster.start(t, { config });
  await cluster.startAgents();
  const host = cluster.host(1);
  const good = {
    PublicIP: '192.168.65.200',
    PublicIPv6: null,
    BackendType: 'vxlan',
    BackendData: { VNI: 88, VtepMAC: '02:00:00:00:00:01' },
  };
  const bad: Record<string, object | string> = {
    garbage: 'x',
    '10.77.300.0-24': good,
    '10.77.9.0-24hi': good,
    '10.77.10.0-24': 'not json',
    '10.77.11.0-24': '\u0001\u0002',
    '10.99.1.0-24': good,
    '10.77.12.0-24': { ...good, PublicIP: '192.168.65.3' },
    '10.77.13.0-24': { ...good, PublicIP: '127.0.0.1' },
    '10.77.14.0-24': { ...good, BackendData: { VNI: 88, VtepMAC: 'ff:ff:ff:ff:ff:ff' } },
    '10.77.15.0-24': { ...good, BackendType: 'host-gw' },
  };
  const writes = (await host.client.status()).dataplane.writes;
  for (const [key, value] of Object.entries(bad)) await cluster.putLease(key, value);
  await cluster.putLease('10.77.200.0-24', good);
  const status = await host.until('the good one is there', ({ peers }) =>
    peers.some(({ key, state }) => key === '10.77.200.0-24' && state === 'ok'),
  );
  for (const key of Object.keys(bad)) {
    const peer = status.peers.find(candidate => candidate.key === key);
    assert.match(peer?.state ?? 'absent', /^(rejected|unreachable)$/, key);
    assert.ok(peer?.reason, key);
  }
  assert.equal(countOf(status, 'ok'), 2);
  assert.equal(status.dataplane.writes - writes, 4);
  await cluster.putLease('garbage', 'y');
  await cluster.deleteLease('10.77.200.0-24');
  await host.until('it is gone', ({ peers }) => !peers.some(({ key }) => key === '10.77.200.0-24'));
  const reported = (await Array.fromAsync(host.client.events())).filter(({ type }) =>
    ['lease-rejected', 'peer-unreachable'].includes(type),
  );
  for (const key of Object.keys(bad)) {
    assert.equal(reported.filter(({ fields }) => fields['key'] === key).length, 1, key);
  }
});

describe('what changes, changes live', needs, () => {
  test('another VNI: a new device, no old one, the same subnet', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const before = await one.client.status();
    await cluster.configure({ ...CONFIG, Backend: { ...CONFIG.Backend, VNI: 99 } });
    for (const host of cluster.hosts) {
      await host.until('VNI 99 is in use', status => {
        return status.backend?.devices[0]?.vni === 99 && countOf(status, 'ok') === 1;
      });
    }
    assert.equal((await one.client.status()).lease?.key, before.lease?.key);
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
    await eventually('the old one is gone', async () => (await one.ip.links.get('flannel.88')) === undefined);
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
  });

  test('another VNI while the agent was down: the device of the old one goes', async t => {
    const cluster = await Cluster.start(t, { hosts: 1 });
    await cluster.startAgents();
    const host = cluster.host(1);
    await host.stopAgent();
    await cluster.configure({ ...CONFIG, Backend: { ...CONFIG.Backend, VNI: 99 } });
    await host.startAgent();
    await host.untilConnected(0);
    await eventually('flannel.88 is gone', async () => (await host.ip.links.get('flannel.88')) === undefined);
    assert.ok(await host.ip.links.get('flannel.99'));
  });

  test("the underlay's MTU: the device and the file follow", async t => {
    const cluster = await Cluster.start(t, { hosts: 1 });
    await cluster.startAgents();
    const host = cluster.host(1);
    await host.shell('ip link set eth0 mtu 1400');
    await host.until('1350 is in use', ({ backend }) => backend?.overlayMtu === 1350);
    await eventually('the device has it', async () => (await host.ip.links.get('flannel.88'))?.mtu === 1350);
    await eventually('subnet.env is written for Docker and CNI', async () => {
      return /^FLANNEL_MTU=1350$/m.test(readFileSync(host.subnetFile, 'utf8'));
    });
  });

  test('another network: a new subnet of it for every host', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    await cluster.configure({ ...CONFIG, Network: '10.88.0.0/16' });
    for (const host of cluster.hosts) {
      await host.until('it is in the new network', status => {
        return status.lease?.subnet.ipv4?.startsWith('10.88.') === true && countOf(status, 'ok') === 1;
      });
      await eventually('subnet.env is written for Docker and CNI', async () => {
        return /^FLANNEL_SUBNET=10\.88\./m.test(readFileSync(host.subnetFile, 'utf8'));
      });
    }
    const keys = await cluster.leaseKeys();
    assert.equal(keys.length, 2);
    assert.ok(keys.every(key => key.startsWith('10.88.')));
  });

  test('a configuration that makes no sense is refused with the reason, and nothing changes', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const host = cluster.host(1);
    await cluster.configure({ ...CONFIG, Backend: { Type: 'vxlan', VNI: 16_777_216 } });
    const refused = await host.until('there is a warning', ({ warnings }) => warnings.length > 0);
    assert.equal(refused.warnings[0]?.code, 'CONFIG_REFUSED');
    assert.equal(refused.agent.ready, true);
    assert.equal(refused.backend?.devices[0]?.vni, 88);
    await cluster.configure(CONFIG);
    await host.until('the warning is gone', ({ warnings }) => warnings.length === 0);
  });

  test("the underlay's address: published, and followed by the peers", async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    const before = await one.client.status();
    await one.removeAddress('192.168.65.3/24');
    await one.until('it misses its address', ({ agent }) => !agent.ready);
    await one.addAddress('192.168.65.77/24');
    await two.until('it knows the new address', ({ peers }) => {
      return peers.some(({ publicIp, state }) => publicIp.ipv4 === '192.168.65.77' && state === 'ok');
    });
    const after = await one.untilConnected(1);
    assert.equal(after.lease?.key, before.lease?.key);
    assert.equal(after.backend?.devices[0]?.local, '192.168.65.77');
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
  });
});
