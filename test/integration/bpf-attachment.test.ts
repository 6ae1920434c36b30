/** Programs at the points of a link of the real kernel, attached without anything that holds them but the link. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '../../src/base/errors.ts';
import { Assembler } from '../../src/bpf/assembler.ts';
import { attachedPrograms, attachProgram, detachProgram, type LinkPoint } from '../../src/bpf/attachment.ts';
import { programInfoById } from '../../src/bpf/info.ts';
import { R0, R1 } from '../../src/bpf/instructions.ts';
import { BpfMap } from '../../src/bpf/map.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import { Netns } from '../../src/sys/netns.ts';
import { bpftool, needsBpf, needsBpftool } from '../support/bpftool.ts';

const LOOPBACK = 1;

/** @param verdict of every packet, so that programs have different tags */
const program = (verdict: number, name = 'tt_program') =>
  BpfProgram.load({
    type: 'traffic control',
    name,
    instructions: new Assembler().move(R0, verdict).exit().finish(),
  });

const idsAt = (point: LinkPoint, index = LOOPBACK) => attachedPrograms(index, point)?.ids;

function attach(point: LinkPoint, { fd }: BpfProgram, replaced?: BpfProgram): void {
  const revision = attachedPrograms(LOOPBACK, point)?.revision ?? 0n;
  attachProgram({ index: LOOPBACK, point, program: fd, revision }, replaced?.fd);
}

function inNamespace(check: () => void): void {
  using netns = Netns.anonymous();
  netns.run(check);
}

for (const point of ['ingress', 'egress'] as const) {
  test(`programs at ${point} are appended, replaced in their place, and detached`, needsBpf, () => {
    inNamespace(() => {
      using first = program(-1);
      using second = program(0);
      using third = program(1);
      assert.deepEqual(idsAt(point), []);
      attach(point, first);
      attach(point, second);
      assert.deepEqual(idsAt(point), [first.info().id, second.info().id]);
      attach(point, third, first);
      assert.deepEqual(idsAt(point), [third.info().id, second.info().id]);
      const { revision = 0n } = attachedPrograms(LOOPBACK, point) ?? {};
      detachProgram({ index: LOOPBACK, point, program: third.fd, revision });
      assert.deepEqual(idsAt(point), [second.info().id]);
      assert.deepEqual(
        idsAt(point === 'ingress' ? 'egress' : 'ingress'),
        [],
        'the other point is another one',
      );
    });
  });
}

test('what was changed meanwhile is not written over', needsBpf, () => {
  inNamespace(() => {
    using first = program(-1);
    using second = program(0);
    const { revision = 0n } = attachedPrograms(LOOPBACK, 'ingress') ?? {};
    attach('ingress', first);
    assert.throws(
      () => attachProgram({ index: LOOPBACK, point: 'ingress', program: second.fd, revision }),
      error => isCode(error, 'ESTALE'),
    );
    assert.throws(
      () => detachProgram({ index: LOOPBACK, point: 'ingress', program: first.fd, revision }),
      error => isCode(error, 'ESTALE'),
    );
  });
});

test('a link that is not there has nothing, and takes nothing', needsBpf, () => {
  inNamespace(() => {
    using some = program(-1);
    assert.equal(attachedPrograms(4_711, 'ingress'), undefined);
    assert.throws(
      () => attachProgram({ index: 4_711, point: 'ingress', program: some.fd, revision: 0n }),
      error => isCode(error, 'ENODEV'),
    );
  });
});

test('the link keeps the program, the program its maps; all go with the namespace', needsBpf, async t => {
  const netns = Netns.anonymous();
  t.after(() => netns[Symbol.dispose]());
  const map = BpfMap.create({ type: 'hash', name: 'tt_kept', keySize: 4, valueSize: 4, entries: 8 });
  const loaded = BpfProgram.load({
    type: 'traffic control',
    name: 'tt_keeps',
    instructions: new Assembler().loadMap(R1, map).move(R0, -1).exit().finish(),
  });
  const [mapId, { id }] = [map.id, loaded.info()];
  netns.run(() => attach('ingress', loaded));
  loaded[Symbol.dispose]();
  map[Symbol.dispose]();
  const info = programInfoById(id);
  assert.deepEqual([info?.name, info?.mapIds], ['tt_keeps', [mapId]]);
  assert.equal(
    netns.run(() => idsAt('ingress')?.[0]),
    id,
  );
});

test('a program as bpftool shows it', needsBpftool, async () => {
  using map = BpfMap.create({ type: 'array', name: 'tt_one', keySize: 4, valueSize: 4, entries: 8 });
  using loaded = BpfProgram.load({
    type: 'traffic control',
    name: 'tulle_transmit_x',
    instructions: new Assembler().loadMap(R1, map).move(R0, -1).exit().finish(),
  });
  const info = loaded.info();
  const shown = (await bpftool(['prog', 'show', 'id', String(info.id)])) as Record<string, unknown>;
  assert.deepEqual(
    {
      name: shown['name'],
      tag: shown['tag'],
      mapIds: shown['map_ids'],
      size: shown['bytes_xlated'],
      compiledSize: shown['bytes_jited'] ?? 0,
    },
    {
      name: info.name,
      tag: info.tag,
      mapIds: [...info.mapIds],
      size: info.size,
      compiledSize: info.compiledSize,
    },
  );
  assert.equal(shown['type'], 'sched_cls');
});
