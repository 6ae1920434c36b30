/** Other overlays on the host of an agent: that of Kubernetes, a second network of Tulle's, one that wants the same VNI. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { AgentClient } from '../../src/api/client.ts';
import type { ConditionName, Status } from '../../src/api/status.ts';
import { agentPaths, NETWORK_PREFIX, SUBNET_FILE } from '../../src/console/defaults.ts';
import { EXIT } from '../../src/console/exit-codes.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import type { Site } from '../../src/lab/host/site.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { machines, tulle, up } from '../support/up.ts';

const OTHER_PREFIX = '/other/network';
const OTHER_FILE = '/run/flannel/other.env';
const KUBERNETES_FILE =
  'FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';

const sh = async (site: Site, command: string) => (await site.host.run('sh', ['-ec', command])).stdout;

const clientOf = (site: Site, prefix = NETWORK_PREFIX) =>
  new AgentClient({ socketPath: site.host.path(agentPaths(prefix).socket) });

const until = (site: Site, what: string, is: (status: Status) => boolean, prefix = NETWORK_PREFIX) =>
  eventually(what, async () => {
    const status = await clientOf(site, prefix).status();
    return is(status) && status;
  });

const conditionOf = ({ conditions }: Status, wanted: ConditionName) =>
  conditions.find(({ name }) => name === wanted);

/** What k3s makes on a host: a device with all that belongs to it, rules in flannel's chains, the subnet file. */
async function beKubernetes(site: Site): Promise<void> {
  await sh(
    site,
    `ip link add flannel.1 type vxlan id 1 dev eth0 local 192.168.65.3 dstport 8472 nolearning
    ip address add 10.42.0.0/32 dev flannel.1
    ip link set flannel.1 up
    ip neigh add 10.42.1.0 lladdr 02:00:00:00:09:01 dev flannel.1 nud permanent
    bridge fdb add 02:00:00:00:09:01 dev flannel.1 dst 192.168.65.9 self permanent
    ip route add 10.42.1.0/24 via 10.42.1.0 dev flannel.1 onlink
    ip link add cni0 type bridge
    ip address add 10.42.0.1/24 dev cni0
    iptables -N FLANNEL-FWD
    iptables -A FORWARD -m comment --comment 'flanneld forward' -j FLANNEL-FWD
    iptables -A FLANNEL-FWD -s 10.42.0.0/16 -m comment --comment 'flanneld forward' -j ACCEPT
    iptables -t nat -A POSTROUTING -s 10.42.0.0/16 -m comment --comment 'flanneld masq' -j MASQUERADE
    printf '${KUBERNETES_FILE}' > ${SUBNET_FILE}`,
  );
}

/** All of that, as it is now. */
const kubernetesOf = (site: Site) =>
  sh(
    site,
    `ip -d -o link show flannel.1; ip -o address show dev flannel.1 scope global; ip neigh show dev flannel.1
    bridge fdb show dev flannel.1; ip route show dev flannel.1; ip -o address show dev cni0
    iptables-save | grep -E -e '10\\.42\\.|-j FLANNEL-FWD'; cat ${SUBNET_FILE}`,
  );

async function startStore(site: Site): Promise<void> {
  await site.host.start(TULLE, ['store', '--data-dir=/run/store'], 'store');
  await eventually('the store answers', async () => {
    const { status } = await site.host.run(TULLE, ['config', 'get'], { anyStatus: true });
    return status !== EXIT.noStore.status;
  });
}

const configure = (site: Site, prefix: string, network: string, vni: number) =>
  tulle(
    site,
    'config',
    'set',
    `--etcd-prefix=${prefix}`,
    `{"Network":"${network}","Backend":{"Type":"vxlan","VNI":${vni}}}`,
  );

const startAgent = (site: Site, prefix: string, ...flags: string[]) =>
  site.host.start(
    TULLE,
    ['agent', '--iface=eth0', '--ip-masq', `--etcd-prefix=${prefix}`, ...flags],
    'agent',
  );

async function oneMachine(t: TestContext): Promise<Site> {
  const [site] = await machines(t, 1);
  return site ?? assert.fail('no machine');
}

const OPTIONS = { ...needsRoot, timeout: 240_000 };

test(
  "A1: `tulle up`, its agent and `cleanup` leave another overlay's things as they are",
  OPTIONS,
  async t => {
    const site = await oneMachine(t);
    await beKubernetes(site);
    const before = await kubernetesOf(site);
    await up(site);
    const status = await until(
      site,
      'the device is there',
      state => conditionOf(state, 'dataplane')?.ok === true,
    );
    const device = status.backend?.devices[0]?.name;
    assert.notEqual(device, 'flannel.1');
    const refused = await until(
      site,
      'the subnet file is refused',
      state => conditionOf(state, 'subnet-file')?.code === 'SUBNET_FILE_NOT_OURS',
    );
    assert.match(
      conditionOf(refused, 'subnet-file')?.reason ?? '',
      /belongs to another network, 10\.42\.0\.0\/16$/,
    );
    assert.equal(await kubernetesOf(site), before);

    // A VNI that the other overlay has cannot be used, and the one in use stays.
    await tulle(
      site,
      'config',
      'set',
      `{"Network":"${status.network.config?.ipv4?.network}","Backend":{"Type":"vxlan","VNI":1}}`,
    );
    const warned = await until(site, 'the VNI is refused', ({ warnings }) =>
      warnings.some(({ code, text }) => code === 'CONFIG_REFUSED' && text.includes('10.42.0.0/32')),
    );
    assert.equal(conditionOf(warned, 'dataplane')?.ok, true);
    assert.equal(await kubernetesOf(site), before);

    await tulle(site, 'lease', 'release');
    await eventually('the agent ended', async () => {
      const { status: exit } = await site.host.run(TULLE, ['status'], { anyStatus: true });
      return exit === EXIT.noAgent.status;
    });
    const { stdout, stderr } = await tulle(site, 'cleanup');
    assert.match(stdout, new RegExp(`^device ${device}$`, 'm'));
    assert.match(
      stderr,
      /kept, because it is not of this network: device flannel\.1: address 10\.42\.0\.0\/32/,
    );
    assert.equal(await kubernetesOf(site), before);
    assert.equal(await sh(site, 'ip -o link show type vxlan | wc -l'), '1\n');
  },
);

test('A1: an agent waits while another overlay has its device, and goes on by itself', OPTIONS, async t => {
  const site = await oneMachine(t);
  await beKubernetes(site);
  await startStore(site);
  await configure(site, NETWORK_PREFIX, '10.5.0.0/16', 1);
  const before = await kubernetesOf(site);
  await startAgent(site, NETWORK_PREFIX);
  const waiting = await until(
    site,
    'the agent waits for the device',
    state => conditionOf(state, 'dataplane')?.code === 'DEVICE_NOT_OURS',
  );
  const { reason, hint } = conditionOf(waiting, 'dataplane') ?? {};
  assert.match(
    reason ?? '',
    /^flannel\.1: it belongs to another network: it carries address 10\.42\.0\.0\/32$/,
  );
  assert.match(hint ?? '', /another VNI.*continues by itself/);
  assert.equal(waiting.agent.ready, false);
  assert.equal(await kubernetesOf(site), before);
  await sh(site, `ip link del flannel.1; rm ${SUBNET_FILE}`);
  await until(site, 'the agent is ready', ({ agent }) => agent.ready);
  assert.match(readFileSync(site.host.path(SUBNET_FILE), 'utf8'), /^FLANNEL_NETWORK=10\.5\.0\.0\/16$/m);
});

test('A2: a second network needs a prefix, a VNI and a subnet file, as with flannel', OPTIONS, async t => {
  const site = await oneMachine(t);
  await startStore(site);
  await configure(site, NETWORK_PREFIX, '10.5.0.0/16', 5);
  await configure(site, OTHER_PREFIX, '10.6.0.0/16', 6);
  await startAgent(site, NETWORK_PREFIX);
  // Two that write the shared chains at the same moment may repair each other once.
  const isDone = ({ agent, conditions }: Status) => agent.ready && conditions.every(({ ok }) => ok);
  await until(site, 'the first network is ready', isDone);
  await startAgent(site, OTHER_PREFIX, `--subnet-file=${OTHER_FILE}`);
  const files = [SUBNET_FILE, OTHER_FILE].map(file => waitForFile(site.host.path(file), t.signal));
  const [one, other] = await Promise.all(files);
  assert.match(one ?? '', /^FLANNEL_NETWORK=10\.5\.0\.0\/16$/m);
  assert.match(other ?? '', /^FLANNEL_NETWORK=10\.6\.0\.0\/16$/m);
  const prefixes = [NETWORK_PREFIX, OTHER_PREFIX];
  for (const prefix of prefixes) await until(site, `${prefix} is ready`, isDone, prefix);

  for (const prefix of prefixes) {
    const { stdout } = await tulle(site, 'status', '--json', `--etcd-prefix=${prefix}`);
    const { store, dataplane, warnings } = JSON.parse(stdout) as Status;
    assert.equal(store.prefix, prefix);
    assert.deepEqual(warnings, []);
    assert.equal((await clientOf(site, prefix).resync()).writes, 0);
    assert.deepEqual(dataplane.driftRepairs, {});
  }
  const rules = await sh(site, 'iptables-save | grep -c -- "-A FLANNEL-"');
  // Six of each network to masquerade and two to forward; the one that names no network is there once.
  assert.equal(Number(rules), 15);
});

test('A2: two networks cannot share a subnet file, and a client names the other agent', OPTIONS, async t => {
  const site = await oneMachine(t);
  await startStore(site);
  await configure(site, OTHER_PREFIX, '10.6.0.0/16', 6);
  await sh(site, `printf '${KUBERNETES_FILE}' > ${SUBNET_FILE}`);
  await startAgent(site, OTHER_PREFIX);
  await until(
    site,
    'the subnet file is refused',
    state => conditionOf(state, 'subnet-file')?.code === 'SUBNET_FILE_NOT_OURS',
    OTHER_PREFIX,
  );
  const { status, stderr } = await site.host.run(TULLE, ['status'], { anyStatus: true });
  assert.equal(status, EXIT.noAgent.status);
  assert.ok(stderr.replaceAll(/\s+/g, ' ').includes(agentPaths(OTHER_PREFIX).socket), stderr);
});

test(
  'A3: of two agents that want one VNI at the same moment one has it, and the other learns whose it is',
  OPTIONS,
  async t => {
    const site = await oneMachine(t);
    await startStore(site);
    const networks = new Map([
      [NETWORK_PREFIX, '10.5.'],
      [OTHER_PREFIX, '10.6.'],
    ]);
    for (const [prefix, start] of networks) await configure(site, prefix, `${start}0.0/16`, 5);
    const started = [
      startAgent(site, NETWORK_PREFIX),
      startAgent(site, OTHER_PREFIX, `--subnet-file=${OTHER_FILE}`),
    ];
    await Promise.all(started);
    const [winner, loser] = await eventually('one has the device, and the other has not', async () => {
      const states = await Promise.all(
        Array.from(networks.keys(), async prefix => {
          const condition = conditionOf(await clientOf(site, prefix).status(), 'dataplane');
          return { prefix, ok: condition?.ok === true, isRefused: condition?.code === 'DEVICE_NOT_OURS' };
        }),
      );
      const one = states.find(({ ok }) => ok)?.prefix;
      const other = states.find(({ isRefused }) => isRefused)?.prefix;
      return one !== undefined && other !== undefined && ([one, other] as const);
    });
    const { reason } = conditionOf(await clientOf(site, loser).status(), 'dataplane') ?? {};
    assert.ok(
      reason?.startsWith(
        `flannel.5: it belongs to another network: it carries address ${networks.get(winner)}`,
      ),
      reason,
    );
    assert.equal((await clientOf(site, winner).resync()).writes, 0);
    assert.deepEqual((await clientOf(site, winner).status()).warnings, []);

    await clientOf(site, winner).releaseLease();
    await eventually('it ended', async () => {
      const { status } = await site.host.run(TULLE, ['status', `--etcd-prefix=${winner}`], {
        anyStatus: true,
      });
      return status === EXIT.noAgent.status;
    });
    const file = winner === NETWORK_PREFIX ? SUBNET_FILE : OTHER_FILE;
    await tulle(site, 'cleanup', `--etcd-prefix=${winner}`, `--subnet-file=${file}`);
    await until(site, 'the other one has it then', ({ agent }) => agent.ready, loser);
  },
);
