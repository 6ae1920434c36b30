/** The fast path without its process, and under the next one: two containers talk all the time, and lose nothing. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { FastPath } from '../../src/fastpath/fast-path.ts';
import type { BuildProgram } from '../../src/fastpath/loaded-programs.ts';
import { mechanismsOf } from '../../src/fastpath/mechanisms.ts';
import { buildFastProgram } from '../../src/fastpath/programs/build.ts';
import { isFast } from '../../src/fastpath/programs/layout.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { start } from '../../src/sys/process.ts';
import { bpftool, needsBpf, needsBpftool } from '../support/bpftool.ts';
import { eventually, within } from '../support/eventually.ts';
import {
  fastPathHosts,
  openFastPathAt,
  SECOND_CONTAINER,
  type TunnelHost,
} from '../support/fast-path-hosts.ts';
import { FlowTalk } from '../support/flow-talk.ts';

const PROGRAM = join(import.meta.dirname, '../support/fast-path-process.ts');

type MechanismName = FastPath['mechanism'];

/** Ids of what runs at the links of a host, in order. */
async function programsAt({ space, links }: TunnelHost, by: MechanismName): Promise<readonly number[]> {
  await using rtnetlink = connectRoute({ netns: space.netns });
  const mechanism = mechanismsOf(space.netns, rtnetlink).find(({ name }) => name === by);
  const ids: number[] = [];
  for (const { index } of Object.values(links)) {
    for (const point of ['ingress', 'egress'] as const)
      ids.push(...((await mechanism?.programs({ index, point })) ?? []));
  }
  return ids;
}

/** Packets that took the fast path, of all flows. */
function fastPackets(fastPath: FastPath): bigint {
  let sum = 0n;
  for (const { state } of fastPath.flows(1000)) sum += state.sentPackets + state.deliveredPackets;
  return sum;
}

const isFlowing = (fastPath: FastPath) =>
  Array.from(fastPath.flows(1000)).some(
    flow => isFast(flow, fastPath.generation, process.hrtime.bigint()).sent,
  );

async function inProcess({ space, links }: TunnelHost, mechanism: MechanismName) {
  const child = await start(process.execPath, [PROGRAM, mechanism, JSON.stringify(links)], {
    namespaces: space.namespaces,
    pipeOutput: true,
  });
  const attached = Promise.withResolvers<void>();
  child.stdout?.once('data', () => attached.resolve());
  void child.exited.then(() => attached.reject(new Error('the process has ended')));
  await within('the process has attached the programs', attached.promise);
  return {
    kill: async () => {
      child.kill('SIGKILL');
      await within('the process ends', child.exited);
    },
  };
}

/** The same, but for an instruction that does nothing. */
const nextVersion: BuildProgram = (fullName, maps) => {
  const options = buildFastProgram(fullName, maps);
  const { bytes, placeOf } = options.instructions;
  // r1 = r1
  const nothing = Uint8Array.of(0xbf, 0x11, 0, 0, 0, 0, 0, 0);
  return {
    ...options,
    instructions: { bytes: Uint8Array.from([...nothing, ...bytes]), placeOf },
  };
};

async function talking(t: TestContext, mechanism: MechanismName) {
  const [one, other] = await fastPathHosts(t);
  const process = await inProcess(one, mechanism);
  t.after(() => process.kill());
  const far = await openFastPathAt(other.links, { netns: other.space.netns, mechanism });
  t.after(() => far[Symbol.asyncDispose]());
  const talk = await FlowTalk.begin({
    protocol: 'udp',
    from: one.container.namespaces.net,
    to: other.container.namespaces.net,
    address: SECOND_CONTAINER,
    port: 7777,
    interval: 1,
  });
  t.after(() => talk[Symbol.asyncDispose]());
  await eventually('the talk takes the fast path', async () => isFlowing(far));
  return { one, far, process, talk };
}

for (const mechanism of ['tcx', 'clsact'] as const) {
  test(`${mechanism}: SIGKILL, the next process, and an upgrade lose no packet`, needsBpf, async t => {
    const { one, far, process, talk } = await talking(t, mechanism);
    const before = await programsAt(one, mechanism);
    assert.equal(before.length, 4);
    await process.kill();
    const packets = fastPackets(far);
    await eventually(
      'packets take the fast path without the process',
      async () => fastPackets(far) > packets + 100n,
    );
    assert.deepEqual(await programsAt(one, mechanism), before);

    const { netns } = one.space;
    const next = await openFastPathAt(one.links, { netns, mechanism });
    assert.deepEqual(await programsAt(one, mechanism), before, 'the same programs');
    assert.equal(next.generation, 1n);
    // It proves itself anew when the talk has rested for longer than a proof lasts.
    await eventually('the flow is known, and goes on', async () => isFlowing(next));
    await next[Symbol.asyncDispose]();

    const upgraded = await openFastPathAt(one.links, { netns, mechanism, build: nextVersion });
    t.after(() => upgraded[Symbol.asyncDispose]());
    const now = await programsAt(one, mechanism);
    assert.deepEqual([now.length, now.filter(id => before.includes(id))], [4, []]);
    await eventually('packets take the fast path with the next version', async () => {
      const sofar = fastPackets(upgraded);
      await talk.answered();
      return isFlowing(upgraded) && fastPackets(upgraded) > sofar;
    });
    const { sent, lost } = await talk.toll();
    assert.ok(sent > 0);
    assert.equal(lost, 0);
  });
}

test('programs and maps as bpftool shows them', needsBpftool, async t => {
  const [one] = await fastPathHosts(t);
  const { netns, namespaces } = one.space;
  const fastPath = await openFastPathAt(one.links, { netns, mechanism: 'clsact' });
  t.after(() => fastPath[Symbol.asyncDispose]());
  const names = ['tulle_receive', 'tulle_sent', 'tulle_transmit', 'tulle_delivered'];
  const [net] = (await bpftool(['net', 'list'], namespaces.net)) as readonly [
    { readonly tc: readonly { devname: string; kind: string; name: string; id: number }[] },
  ];
  assert.deepEqual(net.tc.map(({ devname, kind, name }) => `${devname} ${kind} ${name}`).toSorted(), [
    'c clsact/egress tulle_delivered',
    'c clsact/ingress tulle_transmit',
    'eth0 clsact/egress tulle_sent',
    'eth0 clsact/ingress tulle_receive',
  ]);
  for (const { name, id } of net.tc) {
    const shown = (await bpftool(['prog', 'show', 'id', String(id)])) as { name: string; map_ids: number[] };
    assert.ok(names.includes(name));
    assert.equal(shown.name, name.slice(0, 15));
    assert.ok(shown.map_ids.includes(fastPath.maps.config.id), 'it has the configuration');
  }
  for (const [name, { id }] of Object.entries(fastPath.maps)) {
    const shown = (await bpftool(['map', 'show', 'id', String(id)])) as { name: string };
    assert.equal(shown.name, `tulle_${name}`);
  }
});
