/** The fast path's programs and maps at links of the real kernel: attached, found again, replaced, and beside those of others. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isCode } from '../../src/base/errors.ts';
import { Assembler } from '../../src/bpf/assembler.ts';
import { attachProgram } from '../../src/bpf/attachment.ts';
import { R0 } from '../../src/bpf/instructions.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import type { StoreLink } from '../../src/dataplane/tables/store.ts';
import { FastPath, type FastPathOptions } from '../../src/fastpath/fast-path.ts';
import { mechanismsOf } from '../../src/fastpath/mechanisms.ts';
import { MAPS } from '../../src/fastpath/programs/layout.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { TC_H_CLSACT_INGRESS } from '../../src/netlink/route/traffic-constants.ts';
import { start } from '../../src/sys/process.ts';
import { needsBpf } from '../support/bpftool.ts';
import { within } from '../support/eventually.ts';
import { countingPrograms } from '../support/fast-path-programs.ts';
import { Namespace } from '../support/neighbourhood.ts';

const OWNER = '/coreos.com/network';

async function host(t: TestContext) {
  const [space, far] = [new Namespace(t), new Namespace(t)];
  await space.cable('eth0', '192.0.2.1/24', far, '192.0.2.2/24');
  const rtnetlink = connectRoute({ netns: space.netns });
  t.after(() => rtnetlink[Symbol.asyncDispose]());
  const { index = 0 } = (await rtnetlink.links.get('eth0')) ?? {};
  return { space, far, rtnetlink, eth0: { name: 'eth0', index } satisfies StoreLink };
}

type Host = Awaited<ReturnType<typeof host>>;

/** Closed at the end of the test, or before by itself. */
async function opened(t: TestContext, { space }: Host, options: Partial<FastPathOptions> = {}) {
  const fastPath = await FastPath.open({
    netns: space.netns,
    owner: OWNER,
    build: countingPrograms(),
    ...options,
  });
  const stack = new AsyncDisposableStack();
  stack.use(fastPath);
  t.after(() => stack.disposeAsync());
  return Object.assign(fastPath, { end: () => stack.disposeAsync() });
}

/** Ids at ingress of a link. */
async function idsAt(
  { space, rtnetlink }: Host,
  { index }: StoreLink,
  by: string,
): Promise<readonly number[]> {
  const mechanism = mechanismsOf(space.netns, rtnetlink).find(({ name }) => name === by);
  return (await mechanism?.programs({ index, point: 'ingress' })) ?? [];
}

function foreignProgram(t: TestContext): BpfProgram {
  const program = BpfProgram.load({
    type: 'traffic control',
    // The name alone makes it none of ours.
    name: 'tulle_not_ours',
    instructions: new Assembler().move(R0, -1).exit().finish(),
  });
  t.after(() => program[Symbol.dispose]());
  return program;
}

for (const mechanism of ['tcx', 'clsact'] as const) {
  const about = (title: string, body: (t: TestContext) => Promise<void>): void => {
    void test(`${mechanism}: ${title}`, needsBpf, body);
  };

  about('programs are attached, read, replaced and detached', async t => {
    const one = await host(t);
    const { eth0 } = one;
    const fastPath = await opened(t, one, { mechanism });
    assert.equal(fastPath.mechanism, mechanism);
    assert.deepEqual(await fastPath.read(eth0), []);
    await fastPath.attach(eth0, 'ingress', 'receive');
    await fastPath.attach(eth0, 'egress', 'sent');
    const both = [
      { point: 'ingress', program: 'receive' },
      { point: 'egress', program: 'sent' },
    ];
    assert.deepEqual(await fastPath.read(eth0), both);
    await fastPath.attach(eth0, 'ingress', 'receive');
    assert.deepEqual(await fastPath.read(eth0), both, 'once more changes nothing');
    await fastPath.attach(eth0, 'ingress', 'transmit 5');
    assert.equal((await fastPath.read(eth0))[0]?.program, 'transmit 5');
    assert.equal((await idsAt(one, eth0, mechanism)).length, 1, 'the former one has gone');
    await fastPath.detach(eth0, 'ingress');
    await fastPath.detach(eth0, 'ingress');
    await fastPath.detach(eth0, 'egress');
    assert.deepEqual(await fastPath.read(eth0), []);
    assert.deepEqual(
      (await one.rtnetlink.traffic.qdiscs()).filter(({ kind }) => kind === 'clsact'),
      [],
    );
  });

  about('they see packets', async t => {
    const one = await host(t);
    const fastPath = await opened(t, one, { mechanism });
    await fastPath.attach(one.eth0, 'ingress', 'receive');
    assert.ok(await one.space.reaches('192.0.2.2'));
    assert.ok([...fastPath.reasons().values()].some(count => count > 0n));
  });

  about('the next one goes on with the same programs and maps', async t => {
    const one = await host(t);
    const first = await opened(t, one, { mechanism });
    await first.attach(one.eth0, 'ingress', 'receive');
    first.bump();
    first.setTunnels([{ port: 8472, vni: 1 }]);
    const before = { ids: await idsAt(one, one.eth0, mechanism), map: first.maps.flows.id };
    await first.end();
    assert.deepEqual(await idsAt(one, one.eth0, mechanism), before.ids, 'it runs on');
    const second = await opened(t, one, { mechanism });
    assert.equal(second.maps.flows.id, before.map);
    assert.equal(second.generation, 2n);
    assert.equal([...second.maps.tunnels.entries(10)].length, 1);
    // What it is called is known when it is asked for.
    assert.deepEqual(await second.read(one.eth0), [{ point: 'ingress', program: undefined }]);
    await second.attach(one.eth0, 'ingress', 'receive');
    assert.deepEqual(await second.read(one.eth0), [{ point: 'ingress', program: 'receive' }]);
    assert.deepEqual(await idsAt(one, one.eth0, mechanism), before.ids);
  });

  about('a newer version takes the place, with the same maps', async t => {
    const one = await host(t);
    const first = await opened(t, one, { mechanism });
    await first.attach(one.eth0, 'ingress', 'receive');
    const [former, map] = [await idsAt(one, one.eth0, mechanism), first.maps.flows.id];
    await first.end();
    const second = await opened(t, one, { mechanism, build: countingPrograms(1) });
    await second.attach(one.eth0, 'ingress', 'receive');
    const now = await idsAt(one, one.eth0, mechanism);
    assert.equal(now.length, 1);
    assert.notDeepEqual(now, former);
    assert.equal(second.maps.flows.id, map);
  });

  about('another layout has maps of its own, and takes the place too', async t => {
    const one = await host(t);
    const first = await opened(t, one, { mechanism });
    await first.attach(one.eth0, 'ingress', 'receive');
    const map = first.maps.flows.id;
    // The version follows the magic number.
    const config = first.maps.config.get(new Uint8Array(4)) ?? assert.fail();
    config[4] = 0xff;
    first.maps.config.set(new Uint8Array(4), config);
    await first.end();
    const second = await opened(t, one, { mechanism });
    assert.notEqual(second.maps.flows.id, map);
    assert.deepEqual(await second.read(one.eth0), [{ point: 'ingress', program: undefined }]);
    await second.attach(one.eth0, 'ingress', 'receive');
    assert.equal((await idsAt(one, one.eth0, mechanism)).length, 1);
  });

  about('programs of another agent are somebody else’s', async t => {
    const one = await host(t);
    const [ours, theirs] = [
      await opened(t, one, { mechanism }),
      await opened(t, one, { mechanism, owner: '/other/network' }),
    ];
    await theirs.attach(one.eth0, 'ingress', 'receive');
    assert.deepEqual(await ours.read(one.eth0), []);
    await ours.attach(one.eth0, 'ingress', 'receive');
    assert.deepEqual(await ours.others(one.eth0), { ingress: [], egress: [] });
    assert.equal((await idsAt(one, one.eth0, mechanism)).length, 2);
    await ours.detach(one.eth0, 'ingress');
    assert.deepEqual(await theirs.read(one.eth0), [{ point: 'ingress', program: 'receive' }]);
  });

  about('programs of others are behind none of ours, and stay', async t => {
    const one = await host(t);
    const { eth0, rtnetlink, space } = one;
    const foreign = foreignProgram(t);
    const { id } = foreign.info();
    if (mechanism === 'tcx') {
      space.netns.run(() => {
        attachProgram({ index: eth0.index, point: 'ingress', program: foreign.fd });
      });
    } else {
      await rtnetlink.traffic.addClsact(eth0.index);
      await rtnetlink.traffic.setProgram({
        index: eth0.index,
        parent: TC_H_CLSACT_INGRESS,
        priority: 49_152,
        handle: 1,
        program: foreign.fd,
        name: 'theirs',
      });
    }
    const fastPath = await opened(t, one, { mechanism });
    assert.deepEqual(await fastPath.read(eth0), []);
    await fastPath.attach(eth0, 'ingress', 'receive');
    const [first, second, ...more] = await idsAt(one, eth0, mechanism);
    assert.deepEqual([first, more], [id, []]);
    assert.notEqual(second, undefined);
    const { ingress, egress } = await fastPath.others(eth0);
    assert.deepEqual([ingress.length, egress.length], [1, 0]);
    assert.match(ingress[0] ?? '', /the program (tulle_not_ours|theirs) \(id \d+\)/);
    await fastPath.attach(eth0, 'ingress', 'transmit 5');
    await fastPath.detach(eth0, 'ingress');
    assert.deepEqual(await idsAt(one, eth0, mechanism), [id]);
  });

  about('a link that is gone is said to be gone', async t => {
    const one = await host(t);
    const fastPath = await opened(t, one, { mechanism });
    const gone = { name: 'gone0', index: 4_711 };
    assert.deepEqual(await fastPath.read(gone), []);
    await fastPath.detach(gone, 'ingress');
    await assert.rejects(fastPath.attach(gone, 'ingress', 'receive'), error => isCode(error, 'ENODEV'));
  });
}

test(
  'clsact of somebody else outlives our filters; one of ours with a filter of theirs too',
  needsBpf,
  async t => {
    const one = await host(t);
    const { eth0, rtnetlink } = one;
    const fastPath = await opened(t, one, { mechanism: 'clsact' });
    const qdiscs = async () =>
      (await rtnetlink.traffic.qdiscs()).map(({ kind }) => kind).filter(kind => kind === 'clsact');
    await rtnetlink.traffic.addClsact(eth0.index);
    await fastPath.attach(eth0, 'ingress', 'receive');
    await fastPath.detach(eth0, 'ingress');
    assert.deepEqual(await qdiscs(), ['clsact']);
    await rtnetlink.traffic.deleteClsact(eth0.index);

    await fastPath.attach(eth0, 'ingress', 'receive');
    await fastPath.attach(eth0, 'egress', 'sent');
    await one.space.do('tc filter add dev eth0 egress protocol ip u32 match u8 0 0 flowid 1:1');
    await fastPath.detach(eth0, 'ingress');
    await fastPath.detach(eth0, 'egress');
    assert.deepEqual(await qdiscs(), ['clsact']);
    await one.space.do('tc filter del dev eth0 egress');
    await fastPath.attach(eth0, 'ingress', 'receive');
    await fastPath.detach(eth0, 'ingress');
    assert.deepEqual(await qdiscs(), ['clsact'], 'whose it is is not known any more');
  },
);

/** Attaches a program to the loopback link and takes it off again, without a rest, until it is killed. */
const HAMMER = `
const [{ attachProgram, detachProgram }, { probeProgram }] = await Promise.all(
  ['attachment', 'probe'].map(name => import(process.argv[1] + '/' + name + '.ts')),
);
const { fd: program } = probeProgram(-1);
const at = { index: 1, point: 'ingress', program };
for (let count = 0; ; count++) {
  attachProgram(at);
  if (count === 0) console.log('hammering');
  detachProgram(at);
}`;

test('others that change the same point at the same time hinder nothing', needsBpf, async t => {
  const { space, ...one } = await host(t);
  const bpf = join(import.meta.dirname, '../../src/bpf');
  const hammer = await start(process.execPath, ['--input-type=module', '--eval', HAMMER, bpf], {
    namespaces: space.namespaces,
    pipeOutput: true,
  });
  t.after(() => hammer.kill('SIGKILL'));
  if (hammer.stdout !== undefined) await within('others are at work', once(hammer.stdout, 'data'));
  const fastPath = await opened(t, { space, ...one }, { mechanism: 'tcx' });
  const lo = { name: 'lo', index: 1 };
  for (let round = 0; round < 40; round++) {
    await fastPath.attach(lo, 'ingress', round % 2 === 0 ? 'receive' : 'transmit 5');
    if (round % 10 === 9) await fastPath.detach(lo, 'ingress');
  }
  await fastPath.attach(lo, 'ingress', 'receive');
  assert.deepEqual(await fastPath.read(lo), [{ point: 'ingress', program: 'receive' }]);
  assert.ok(hammer.kill('SIGKILL'), 'others have had no trouble either');
});

test('an ingress queue of somebody else is no place for ours', needsBpf, async t => {
  const one = await host(t);
  await one.space.do('tc qdisc add dev eth0 ingress');
  const fastPath = await opened(t, one, { mechanism: 'clsact' });
  await assert.rejects(fastPath.attach(one.eth0, 'egress', 'sent'), /queue ingress/);
});

test('tunnels are as they were set last; what there is no room for is said', needsBpf, async t => {
  const fastPath = await opened(t, await host(t));
  const keys = () => [...fastPath.maps.tunnels.entries(MAPS.tunnels.entries)].length;
  const tunnels = [1, 2, 3, 4, 5].map(at => ({ port: 8472 + at, vni: at }));
  assert.deepEqual(fastPath.setTunnels(tunnels), tunnels.slice(4));
  assert.equal(keys(), 4);
  assert.deepEqual(fastPath.setTunnels([...tunnels.slice(0, 1), { port: 8473, vni: 7 }]), []);
  assert.equal(keys(), 2);
  assert.equal(fastPath.generation, 1n, 'the rest of the configuration stays');
  fastPath.bump();
  assert.deepEqual(fastPath.setTunnels([]), []);
  assert.equal(keys(), 0);
  assert.equal(fastPath.generation, 2n);
});
