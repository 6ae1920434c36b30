/** Several networks at random, on the fake kernel; test/integration/dataplane-model.test.ts has the same on the real one. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Ip } from '../base/ip.ts';
import { FakeHost } from '../testing/dataplane/fake-host.ts';
import { MemoryPrograms } from '../testing/dataplane/memory-programs.ts';
import { MemoryTable } from '../testing/dataplane/memory-table.ts';
import { Model, type ModelHost, statements, TUN } from '../testing/dataplane/model.ts';
import { faults, inject } from '../testing/dataplane/model-faults.ts';
import { fc } from '../testing/properties.ts';

const RUNS = Number(process.env['TULLE_RUNS'] ?? 25);

class FakeModelHost extends FakeHost implements ModelHost {
  readonly table: MemoryTable;
  readonly programs: MemoryPrograms;

  private constructor(table: MemoryTable, programs: MemoryPrograms) {
    super({ stores: { tunnel: table }, programs });
    this.table = table;
    this.programs = programs;
  }

  static async make(): Promise<FakeModelHost> {
    const host = new FakeModelHost(new MemoryTable(), new MemoryPrograms());
    host.kernel.plugIn({ name: 'eth1', up: true });
    await host.others.addresses.replace({ index: host.underlay, ip: Ip.parse('192.168.65.3'), length: 24 });
    return host;
  }

  makeTun(): void {
    this.kernel.plugIn({ name: TUN, info: { kind: 'tun', type: 'tun' } });
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: statements(new Set()) },
  { weight: 6, arbitrary: faults },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('apply' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('begin to apply' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
);

test('after anything, each network comes to have what it wants, or to say why not', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 20, size: 'max' }), async steps => {
      await using host = await FakeModelHost.make();
      const model = new Model(host.underlay);
      for (const now of steps) {
        if (now.do === 'fault') await inject(host, now);
        else if (now.do === 'wait') await host.pass(100);
        else if (now.do === 'apply') await host.plane.apply();
        else if (now.do === 'begin to apply') {
          void host.plane.apply();
          await setImmediate();
        } else model.state(host.plane, now);
      }
      await end(host, model);
      await using fresh = await FakeModelHost.make();
      model.restate(fresh.plane);
      await end(fresh, model);
      assert.deepEqual(await model.look(host), await model.look(fresh));
      assert.equal((await host.plane.resync('test')).writes, 0);
    }),
    { numRuns: RUNS },
  );
});

/** Nobody does anything more; what is refused for a while is tried again. */
async function end(host: FakeModelHost, model: Model): Promise<void> {
  host.table.restart();
  // What is done silently is found by a comparison.
  host.programs.announce();
  void host.plane.apply();
  await host.pass(5000);
  const tun = await host.others.links.get(TUN);
  if (model.wantsTun && tun === undefined) host.makeTun();
  if (!model.wantsTun && tun !== undefined) await host.others.links.delete(TUN);
  await host.pass(150_000);
}
