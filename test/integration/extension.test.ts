/** The backend extension on real kernels, with the commands that flannel documents and with hostile peers. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Cluster, CONFIG } from '../support/cluster.ts';
import type { ClusterHost } from '../support/cluster-host.ts';
import { needsEtcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;
const ALLOW = '--allow-extension';

const network = (Backend: object) => ({
  Network: '10.77.0.0/16',
  Backend: { Type: 'extension', ...Backend },
});

/**
 * flannel Documentation/extension.md and dist/extension-vxlan. The MAC address is read with `ip`: /sys belongs to the network
 * namespace of the machine here. So is the neighbor written, as not every machine has arp(8).
 */
const VXLAN = {
  PreStartupCommand:
    "export VNI=50; export IF_NAME=flannel-vxlan; ip link del $IF_NAME 2>/dev/null; ip link add $IF_NAME type vxlan id $VNI dstport 8472 nolearning && ip link set mtu 1450 dev $IF_NAME && ip -br link show $IF_NAME | awk '{print $3}'",
  PostStartupCommand:
    "export IF_NAME=flannel-vxlan; export SUBNET_IP=`echo $SUBNET | cut -d'/' -f 1`; ip addr add $SUBNET_IP/32 dev $IF_NAME && ip link set $IF_NAME up",
  ShutdownCommand: 'export IF_NAME=flannel-vxlan; ip link del $IF_NAME',
  SubnetAddCommand:
    "export SUBNET_IP=`echo $SUBNET | cut -d'/' -f 1`; export IF_NAME=flannel-vxlan; read VTEP; ip route add $SUBNET nexthop via $SUBNET_IP dev $IF_NAME onlink && ip neigh replace $SUBNET_IP lladdr $VTEP dev $IF_NAME && bridge fdb append $VTEP dev $IF_NAME self dst $PUBLIC_IP",
};

/** flannel Documentation/extension.md, dist/extension-hostgw. */
const HOST_GW = {
  SubnetAddCommand: 'ip route add $SUBNET via $PUBLIC_IP',
  SubnetRemoveCommand: 'ip route del $SUBNET via $PUBLIC_IP',
};

const PEER = { PublicIP: '192.168.65.77', PublicIPv6: null, BackendType: 'extension' };

async function inside(host: ClusterHost, command: string): Promise<string> {
  const namespaces = { net: `/proc/${process.pid}/fd/${host.netns.fd}` };
  const { stdout } = await run('sh', ['-c', command], { namespaces, anyStatus: true });
  return stdout;
}

const routes = (host: ClusterHost) => inside(host, 'ip route show table main');

async function untilRoutes(host: ClusterHost, pattern: RegExp): Promise<string> {
  return eventually(`${host.name} has ${pattern}`, async () => {
    const text = await routes(host);
    return pattern.test(text) ? text : undefined;
  });
}

/** A directory for what commands write. */
function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'tt-extension-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** Text of a file, line by line; nothing when there is none. */
const linesOf = (path: string) =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter(line => line !== '')
    : [];

describe("flannel's documented commands", needs, () => {
  test('vxlan, word for word: containers talk', async t => {
    const cluster = await Cluster.start(t, { config: network(VXLAN) });
    await cluster.startAgents(ALLOW);
    const [from, to] = [await cluster.host(1).addContainer(t), await cluster.host(2).addContainer(t)];
    assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
  });

  for (const [name, backend] of [
    ['vxlan', { ...VXLAN, SubnetAddCommand: VXLAN.SubnetAddCommand.replace('route add', 'route replace') }],
    ['host-gw', HOST_GW],
  ] as const) {
    test(`${name}: containers talk, and again after the agent was restarted`, async t => {
      const cluster = await Cluster.start(t, { config: network(backend) });
      await cluster.startAgents(ALLOW);
      const [one, two] = [cluster.host(1), cluster.host(2)];
      const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
      assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
      const { lease } = await one.client.status();
      const value = await cluster.leaseValue(lease?.key ?? '');
      assert.equal(value['BackendType'], 'extension');
      const mac = (await one.ip.links.get('flannel-vxlan'))?.mac;
      assert.equal(value['BackendData'], mac?.toString());
      await one.killAgent();
      await one.startAgent(ALLOW);
      await one.untilConnected(1);
      await two.untilConnected(1);
      await eventually('packets flow again', async () => (await to.ping(from)).received === 3);
    });
  }
});

test('a host that does not allow commands runs none, and names the flag', needs, async t => {
  const witness = join(scratch(t), 'ran');
  const cluster = await Cluster.start(t, {
    hosts: 1,
    config: network({ PreStartupCommand: `touch ${witness}` }),
  });
  const host = cluster.host(1);
  await host.startAgent();
  const { conditions } = await host.until('the configuration is refused', ({ conditions }) =>
    conditions.some(({ code }) => code === 'CONFIG_INVALID'),
  );
  const config = conditions.find(({ name }) => name === 'config');
  assert.match(`${config?.reason}`, /does not allow that.*--allow-extension/);
  assert.equal(existsSync(witness), false);
});

test('what a peer publishes is data: in both forms, whatever it looks like', needs, async t => {
  const directory = scratch(t);
  const [witness, shell, plain] = ['ran', 'shell', 'plain'].map(name => join(directory, name));
  const hostile = `'"; touch ${witness}; $(touch ${witness}) \`touch ${witness}\` | touch ${witness} \\`;
  const cluster = await Cluster.start(t, {
    hosts: 1,
    config: network({
      SubnetAddCommand: `IFS= read -r DATA; printf '%s|%s|%s\\n' "$SUBNET" "$PUBLIC_IP" "$DATA" | cat >> ${shell}`,
      SubnetRemoveCommand: ['tee', '-a', plain, '/dev/null'],
    }),
  });
  const host = cluster.host(1);
  await host.startAgent(ALLOW);
  await cluster.putLease('10.77.9.0-24', { ...PEER, BackendData: hostile });
  await host.untilConnected(1);
  assert.deepEqual(linesOf(shell ?? ''), [`10.77.9.0/24|192.168.65.77|${hostile}`]);
  await cluster.deleteLease('10.77.9.0-24');
  await eventually('the peer is removed', async () => linesOf(plain ?? '').length > 0);
  assert.deepEqual(linesOf(plain ?? ''), [hostile]);
  assert.equal(existsSync(witness ?? ''), false);
});

test('every variable is there, of both families, and nothing of the agent itself', needs, async t => {
  const directory = scratch(t);
  const file = (name: string) => join(directory, name);
  const dump = (name: string) => `env | grep -v '^_=\\|^PWD=\\|^SHLVL=\\|^OLDPWD=' | sort > ${file(name)}`;
  const cluster = await Cluster.start(t, {
    hosts: 1,
    config: {
      ...network({
        PreStartupCommand: dump('pre'),
        PostStartupCommand: dump('post'),
        SubnetAddCommand: [
          'sh',
          '-c',
          `env | grep -v ^PWD= | sort > "$0"; echo "$@" >> "$0"`,
          file('add'),
          '$SUBNET',
          '${IPV6SUBNET}',
        ],
      }),
      EnableIPv6: true,
      IPv6Network: 'fd77::/48',
    },
  });
  const host = cluster.host(1);
  await host.addAddress('fd65::3/64');
  await host.startAgent(ALLOW);
  const peer = { ...PEER, PublicIPv6: 'fd65::77', BackendData: 'x' };
  await cluster.putLease('10.77.9.0-24&fd77:0:0:9::-64', peer);
  await host.untilConnected(1);
  const ofNetwork = ['IPV6NETWORK=fd77::/48'];
  const path = `PATH=${process.env['PATH']}`;
  assert.deepEqual(linesOf(file('pre')), [
    ...ofNetwork,
    'NETWORK=10.77.0.0/16',
    path,
    'PUBLIC_IP=192.168.65.3',
    'PUBLIC_IPV6=fd65::3',
  ]);
  const { subnet } = (await host.client.status()).lease ?? assert.fail('no lease');
  assert.deepEqual(linesOf(file('post')), [
    ...ofNetwork,
    `IPV6SUBNET=${subnet.ipv6}`,
    'NETWORK=10.77.0.0/16',
    path,
    'PUBLIC_IP=192.168.65.3',
    'PUBLIC_IPV6=fd65::3',
    `SUBNET=${subnet.ipv4}`,
  ]);
  assert.deepEqual(
    linesOf(file('add')).filter(line => !/^(_|SHLVL|OLDPWD)=/.test(line)),
    [
      ...ofNetwork,
      'IPV6SUBNET=fd77:0:0:9::/64',
      'NETWORK=10.77.0.0/16',
      path,
      'PUBLIC_IP=192.168.65.77',
      'PUBLIC_IPV6=fd65::77',
      'SUBNET=10.77.9.0/24',
      '10.77.9.0/24 fd77:0:0:9::/64',
    ],
  );
});

test('a command that hangs is killed with what it started, and delays no other peer', needs, async t => {
  const directory = scratch(t);
  // Its like is nowhere else on the machine, where another run may do the same.
  const hanging = `sleep 6543.${process.pid}`;
  const cluster = await Cluster.start(t, {
    hosts: 1,
    config: network({
      CommandTimeout: 2,
      SubnetAddCommand: `case $SUBNET in 10.77.8.*) ${hanging} | cat;; *) ip route replace $SUBNET via $PUBLIC_IP;; esac; echo $SUBNET >> ${directory}/ended`,
      SubnetRemoveCommand: 'ip route del $SUBNET',
    }),
  });
  const host = cluster.host(1);
  await host.startAgent(ALLOW);
  await cluster.putLease('10.77.8.0-24', PEER);
  await host.until('the command runs', ({ peers }) => peers[0]?.reason?.includes('still running') === true);
  await cluster.putLease('10.77.9.0-24', PEER);
  await untilRoutes(host, /10\.77\.9\.0\/24 via 192\.168\.65\.77/);
  const { peers } = await host.until(
    'the timeout is reported, and the other peer',
    ({ peers }) =>
      peers.some(({ reason }) => reason?.includes('did not end within 2 s')) &&
      peers.some(({ key, state }) => key === '10.77.9.0-24' && state === 'ok'),
  );
  assert.deepEqual(
    peers.map(({ key, state }) => [key, state]),
    [
      ['10.77.8.0-24', 'failed'],
      ['10.77.9.0-24', 'ok'],
    ],
  );
  await host.stopAgent();
  await eventually(
    'nothing of it runs',
    async () => !(await inside(host, `pgrep -f "^${hanging}$"`)).includes('\n'),
  );
});

test('a command that fails is tried again, and undone before', needs, async t => {
  const directory = scratch(t);
  const cluster = await Cluster.start(t, {
    hosts: 1,
    config: network({
      SubnetAddCommand: `echo add >> ${directory}/log; ip route add $SUBNET via $PUBLIC_IP; test -e ${directory}/go || { printf 'no \\033[2J go\\n' >&2; exit 7; }`,
      SubnetRemoveCommand: `echo remove >> ${directory}/log; ip route del $SUBNET`,
    }),
  });
  const host = cluster.host(1);
  await host.startAgent(ALLOW);
  await cluster.putLease('10.77.9.0-24', PEER);
  const { peers, warnings } = await host.until('the failure is reported', ({ peers, warnings }) => {
    return warnings.length > 0 && peers[0]?.reason?.includes('status') === true;
  });
  assert.equal(peers[0]?.reason, 'SubnetAddCommand ended with status 7: no \\u001b[2J go');
  assert.equal(warnings[0]?.code, 'ENTRIES_FAILED');
  await run('touch', [join(directory, 'go')]);
  await host.untilConnected(1);
  const log = linesOf(join(directory, 'log')).join(' ');
  assert.match(log, /^add( remove add)+$/);
  assert.match(await routes(host), /10\.77\.9\.0\/24 via 192\.168\.65\.77/);
});

test('PreStartupCommand that fails is the condition, and is tried again', needs, async t => {
  const directory = scratch(t);
  const cluster = await Cluster.start(t, {
    hosts: 1,
    config: network({ PreStartupCommand: `echo data; test -e ${directory}/go` }),
  });
  const host = cluster.host(1);
  await host.startAgent(ALLOW);
  const { conditions } = await host.until('the condition', ({ conditions }) =>
    conditions.some(({ code }) => code === 'COMMAND_FAILED'),
  );
  const config = conditions.find(({ name }) => name === 'config');
  assert.match(`${config?.reason}`, /PreStartupCommand ended with status 1: data$/);
  assert.match(`${config?.hint}`, /Backend\.PreStartupCommand/);
  await run('touch', [join(directory, 'go')]);
  const { lease } = await host.untilConnected(0);
  assert.equal((await cluster.leaseValue(lease?.key ?? ''))['BackendData'], 'data');
});

test(
  'a peer that went while the agent was away is removed, and another backend leaves nothing',
  needs,
  async t => {
    const directory = scratch(t);
    const cluster = await Cluster.start(t, {
      hosts: 1,
      config: network({
        ...HOST_GW,
        SubnetAddCommand: 'ip route replace $SUBNET via $PUBLIC_IP',
        ShutdownCommand: `echo shutdown >> ${directory}/log`,
      }),
    });
    const host = cluster.host(1);
    await host.startAgent(ALLOW);
    for (const n of [8, 9]) await cluster.putLease(`10.77.${n}.0-24`, PEER);
    await host.untilConnected(2);
    await host.killAgent();
    await cluster.deleteLease('10.77.8.0-24');
    await host.startAgent(ALLOW);
    await host.untilConnected(1);
    const kept = await untilRoutes(host, /^(?![^]*10\.77\.8\.)/);
    assert.match(kept, /10\.77\.9\.0\/24/);
    assert.deepEqual(linesOf(join(directory, 'log')), [], 'the agent only stopped');
    await cluster.configure({ Network: '10.77.0.0/16', Backend: { Type: 'alloc' } });
    // The former backend stays until every peer has followed.
    await cluster.putLease('10.77.9.0-24', { PublicIP: PEER.PublicIP, PublicIPv6: null });
    await untilRoutes(host, /^(?![^]*10\.77\.9\.)/);
    await eventually('the shutdown ran', async () => linesOf(join(directory, 'log')).join() === 'shutdown');
  },
);

test('a network goes over from vxlan to commands and back, and leaves nothing of either', needs, async t => {
  const commands = { ...HOST_GW, SubnetAddCommand: 'ip route replace $SUBNET via $PUBLIC_IP' };
  const cluster = await Cluster.start(t, { config: CONFIG });
  await cluster.startAgents(ALLOW);
  const [one, two] = [cluster.host(1), cluster.host(2)];
  const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
  await cluster.configure({ Network: CONFIG.Network, Backend: { Type: 'extension', ...commands } });
  for (const host of cluster.hosts) {
    await eventually(`${host.name} has left vxlan`, async () => {
      return (await host.ip.links.get('flannel.88')) === undefined;
    });
    await host.untilConnected(1);
    assert.match(await routes(host), /10\.77\.\d+\.0\/24 via 192\.168\.65\.\d dev eth0/);
  }
  assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
  await cluster.configure(CONFIG);
  for (const host of cluster.hosts) {
    await untilRoutes(host, /^(?![^]*via 192\.168\.65\.\d dev eth0)/);
    await host.untilConnected(1);
  }
  assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
});

test('tulle cleanup undoes what commands have made', needs, async t => {
  const directory = scratch(t);
  const cluster = await Cluster.start(t, {
    hosts: 1,
    config: network({ ...HOST_GW, ShutdownCommand: `echo shutdown >> ${directory}/log` }),
  });
  const host = cluster.host(1);
  await host.startAgent(ALLOW);
  await cluster.putLease('10.77.9.0-24', PEER);
  await host.untilConnected(1);
  await host.stopAgent();
  assert.match(await routes(host), /10\.77\.9\.0\/24/);
  const namespaces = { net: `/proc/${process.pid}/fd/${host.netns.fd}` };
  const words = ['cleanup', `--state-dir=${host.stateDirectory}`, `--subnet-file=${host.subnetFile}`];
  const tulle = join(import.meta.dirname, '../../bin/tulle');
  const args = [...words, `--socket=${join(host.directory, 'none.sock')}`];
  const { stdout } = await run(tulle, args, { namespaces });
  assert.match(stdout, /what commands have made: SubnetRemoveCommand for 1 peer, ShutdownCommand/);
  assert.doesNotMatch(await routes(host), /10\.77\.9\./);
  assert.deepEqual(linesOf(join(directory, 'log')), ['shutdown']);
  assert.equal(existsSync(host.stateDirectory), false);
});
