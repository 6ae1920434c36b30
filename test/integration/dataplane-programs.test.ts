/** Programs at links on a real kernel, whose links come, go and change their names. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { describe, test } from 'node:test';
import type { DesiredProgram } from '../../src/dataplane/programs.ts';
import { FastPath } from '../../src/fastpath/fast-path.ts';
import { programName } from '../../src/fastpath/programs/build.ts';
import { MemoryPrograms } from '../../src/testing/dataplane/memory-programs.ts';
import { needsBpf } from '../support/bpftool.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Running, summary, TestHost } from './dataplane-host.ts';

const hostWith = (...programs: readonly DesiredProgram[]) => ({
  networks: [],
  links: [],
  addresses: [],
  sysctls: [],
  programs,
});
const pair = (link: string): DesiredProgram[] => [
  { link, point: 'ingress', program: 'transmit' },
  { link, point: 'egress', program: 'delivered' },
];
const BOTH = 'ingress transmit, egress delivered';

/** A host that wants programs at two links, of which one is there. */
async function begin() {
  const store = new MemoryPrograms();
  const host = new TestHost();
  const running = new Running(host, { programs: store });
  running.network.setHost(hostWith(...pair('eth0'), ...pair('veth1')));
  const { inSync, failures } = await running.plane.apply();
  assert.deepEqual({ inSync, failures }, { inSync: true, failures: [] });
  const dispose = async () => {
    await running[Symbol.asyncDispose]();
    host[Symbol.dispose]();
  };
  return { store, host, running, [Symbol.asyncDispose]: dispose };
}

describe('programs at links of a real kernel', needsRoot, () => {
  test('follow a link that comes, goes, and changes its name', async () => {
    await using begun = await begin();
    const { store, host, running } = begun;
    await running.after(
      () => host.sh('ip link add veth1 type veth peer name veth2'),
      ({ writes }) => writes === 2,
    );
    const [first, second] = [host.indexOf('veth1'), host.indexOf('veth2')];
    assert.equal(store.show(first), BOTH);
    await running.after(
      () => {
        host.sh('ip link set veth1 name veth3');
        host.sh('ip link set veth2 name veth1');
      },
      () => store.show(first) === '' && store.show(second) === BOTH,
    );
    host.sh('ip link del veth1');
    assert.equal((await running.plane.apply()).inSync, true);
    assert.deepEqual(running.repairs, []);
    assert.equal((await running.plane.resync('test')).writes, 0);
  });

  test('are looked at when a queue or a filter of the link has changed', async () => {
    await using begun = await begin();
    const { store, host, running } = begun;
    const index = host.indexOf('eth0');
    store.damage(index, 'ingress', undefined);
    const repairs = await running.after(
      () => host.sh('tc qdisc add dev eth0 clsact'),
      () => store.show(index) === BOTH,
    );
    assert.deepEqual(
      repairs.map(({ object, action, link }) => [object, action, link]),
      [['program', 'restored', 'eth0']],
    );
  });
});

/** What runs at the links of a host, in the eyes of a store. */
async function shown(store: FastPath, host: TestHost, link: string): Promise<string> {
  const found = await store.read({ name: link, index: host.indexOf(link) });
  return found.map(({ point, program }) => `${point} ${program}`).join(', ');
}

for (const mechanism of ['tcx', 'clsact'] as const) {
  describe(`the programs of the fast path, by ${mechanism}`, needsBpf, () => {
    const [TRANSMIT, DELIVERED] = [programName('transmit', 88), programName('delivered', 88)];
    const programs: readonly DesiredProgram[] = [
      { link: 'eth0', point: 'ingress', program: 'receive' },
      { link: 'eth0', point: 'egress', program: 'sent' },
      { link: 'veth1', point: 'ingress', program: TRANSMIT },
      { link: 'veth1', point: 'egress', program: DELIVERED },
    ];
    const AT_UPLINK = 'ingress receive, egress sent';
    const AT_HOST_END = `ingress ${TRANSMIT}, egress ${DELIVERED}`;

    test('are attached, restored, adopted by the next run, and detached', async () => {
      using host = new TestHost();
      await using store = await FastPath.open({ netns: host.netns, owner: 'a', mechanism });
      const first = new Running(host, { programs: store });
      try {
        first.network.setHost(hostWith(...programs));
        assert.deepEqual((await first.plane.apply()).failures, []);
        assert.equal(await shown(store, host, 'eth0'), AT_UPLINK);
        await first.after(
          () => host.sh('ip link add veth1 type veth peer name veth2'),
          ({ writes }) => writes === 2,
        );
        assert.equal(await shown(store, host, 'veth1'), AT_HOST_END);
        // Another program of the host takes ours away, and something else says that the link is to be looked at.
        await store.detach({ name: 'eth0', index: host.indexOf('eth0') }, 'egress');
        const repairs = await first.after(
          () => host.sh('ip link set eth0 alias looked-at'),
          ({ writes }) => writes === 1,
        );
        assert.deepEqual(summary(repairs), ['program restored']);
        assert.equal(await shown(store, host, 'eth0'), AT_UPLINK);
      } finally {
        await first[Symbol.asyncDispose]();
      }
      assert.equal(await shown(store, host, 'veth1'), AT_HOST_END, 'nobody runs, and they do');

      await using next = await FastPath.open({ netns: host.netns, owner: 'a', mechanism });
      await using second = new Running(host, { programs: next });
      second.network.setHost(hostWith(...programs.slice(0, 2)));
      assert.deepEqual((await second.plane.apply()).failures, []);
      assert.equal(await shown(next, host, 'eth0'), AT_UPLINK);
      assert.equal(await shown(next, host, 'veth1'), '', 'nobody wants them any more');
      assert.deepEqual(second.repairs, []);
      assert.equal((await second.plane.resync('test')).writes, 0);
      second.network.remove();
      await second.plane.apply();
      assert.equal(await shown(next, host, 'eth0'), '');
    });

    test('of a hundred links come one after the other, and one that changes costs one', async t => {
      using host = new TestHost();
      await using store = await FastPath.open({ netns: host.netns, owner: 'a', mechanism });
      await using running = new Running(host, { programs: store });
      const names = Array.from({ length: 100 }, (_, n) => `host${n}`);
      host.batch(
        names.flatMap((name, n) =>
          n % 2 === 0 ? [`link add ${name} type veth peer name ${names[n + 1]}`] : [],
        ),
      );
      const at = (link: string): DesiredProgram[] => [
        { link, point: 'ingress', program: TRANSMIT },
        { link, point: 'egress', program: DELIVERED },
      ];
      const state = async (links: readonly string[]) => {
        const begun = [performance.now(), process.cpuUsage().user] as const;
        const { writes: before } = running.plane.report();
        running.network.setHost(hostWith(...links.flatMap(at)));
        await running.after(
          () => void running.plane.apply(),
          ({ inSync }) => inSync,
        );
        const writes = running.plane.report().writes - before;
        const ms = [performance.now() - begun[0], (process.cpuUsage().user - begun[1]) / 1000];
        t.diagnostic(`${writes} writes in ${ms.map(n => n.toFixed(1)).join(' ms, user ')} ms`);
        return writes;
      };
      assert.equal(await state(names), 200);
      assert.equal(await state(names.slice(1)), 2);
      assert.equal(await state(names), 2);
      const begun = performance.now();
      assert.equal((await running.plane.resync('test')).writes, 0);
      t.diagnostic(`a full comparison takes ${(performance.now() - begun).toFixed(1)} ms`);
    });
  });
}
