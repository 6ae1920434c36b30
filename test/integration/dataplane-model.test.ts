/** Several networks at random, on a real kernel; src/dataplane/model.test.ts has the same on the fake one. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { silentLogger } from '../../src/base/log.ts';
import type { DataPlane } from '../../src/dataplane/data-plane.ts';
import { openDataPlane } from '../../src/dataplane/open-data-plane.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { Rtnetlink } from '../../src/netlink/route/rtnetlink.ts';
import { sysctlsOf } from '../../src/sys/sysctl.ts';
import { linkCases } from '../../src/testing/dataplane/link-cases.ts';
import { MemoryPrograms } from '../../src/testing/dataplane/memory-programs.ts';
import { MemoryTable } from '../../src/testing/dataplane/memory-table.ts';
import { Model, type ModelHost, statements, TUN } from '../../src/testing/dataplane/model.ts';
import { faults, inject } from '../../src/testing/dataplane/model-faults.ts';
import { fc } from '../../src/testing/properties.ts';
import { needsRoot } from '../support/capabilities.ts';
import { TestHost } from './dataplane-host.ts';

const RUNS = Number(process.env['TULLE_RUNS'] ?? 8);
/** The same ones each time; who asks for a number of runs looks for new ones. */
const SEED = process.env['TULLE_RUNS'] === undefined ? { seed: 20_261_130 } : {};
/** Milliseconds in which a host must come to be as it should. */
const PATIENCE = 60_000;

class RealModelHost implements ModelHost, AsyncDisposable {
  readonly host = new TestHost();
  readonly others: Rtnetlink = connectRoute({ netns: this.host.netns });
  readonly #ours = connectRoute({ netns: this.host.netns });
  readonly table = new MemoryTable();
  readonly programs = new MemoryPrograms();
  /** Called when a round has ended. */
  #onRound = () => {};
  readonly plane: DataPlane = openDataPlane({
    rtnetlink: this.#ours,
    sysctls: sysctlsOf(this.host.netns),
    stores: { tunnel: this.table },
    programs: this.programs,
    logger: silentLogger,
    onRound: () => this.#onRound(),
  });

  makeTun(): void {
    this.host.sh(`ip tuntap add dev ${TUN} mode tun`);
  }

  /** Waits for the rounds after which `test` holds; resolves when time is up, too. */
  async until(test: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + PATIENCE;
    while (!(await test()) && performance.now() < end) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onRound = resolve;
      const timer = setTimeout(resolve, 500);
      await promise;
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane[Symbol.asyncDispose]();
    await this.#ours[Symbol.asyncDispose]();
    await this.others[Symbol.asyncDispose]();
    this.host[Symbol.dispose]();
  }
}

/** Kinds of links that this kernel does not have. */
async function lackingKinds(): Promise<Set<string>> {
  await using real = new RealModelHost();
  const lacks = new Set<string>();
  for (const { link, bridge } of linkCases(real.host.indexOf('eth0'))) {
    const links = bridge === undefined ? [link] : [bridge, link];
    const network = real.plane.network('probe');
    network.setHost({ networks: [], links, addresses: [], sysctls: [] });
    if (!(await real.plane.apply()).inSync) lacks.add(link.kind);
    network.remove();
  }
  return lacks;
}

test('after anything, each network comes to have what it wants, or to say why not', needsRoot, async t => {
  const lacks = await lackingKinds();
  for (const kind of lacks) t.diagnostic(`this kernel has no ${kind} links: they are left out`);
  const step = fc.oneof(
    { weight: 4, arbitrary: statements(lacks) },
    { weight: 6, arbitrary: faults },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('apply' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('begin to apply' as const) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20, size: 'max' }), async steps => {
      await using real = new RealModelHost();
      const model = new Model(real.host.indexOf('eth0'));
      for (const now of steps) {
        if (now.do === 'fault') await inject(real, now);
        else if (now.do === 'apply') await real.plane.apply();
        else if (now.do === 'begin to apply') {
          void real.plane.apply();
          await setImmediate();
        } else model.state(real.plane, now);
      }
      await end(real, model);
      await using fresh = new RealModelHost();
      model.restate(fresh.plane);
      await end(fresh, model);
      const expected = await model.look(fresh);
      await real.until(async () => isDeepStrictEqual(await model.look(real), expected));
      assert.deepEqual(await model.look(real), expected);
      assert.equal((await real.plane.resync('test')).writes, 0);
    }),
    { numRuns: RUNS, endOnFailure: true, ...SEED },
  );
});

/** Nobody does anything more. */
async function end(real: RealModelHost, model: Model): Promise<void> {
  real.table.restart();
  // What is done silently is found by a comparison.
  real.programs.announce();
  await real.plane.apply();
  const tun = await real.others.links.get(TUN);
  if (model.wantsTun && tun === undefined) real.makeTun();
  if (!model.wantsTun && tun !== undefined) await real.others.links.delete(TUN);
  await real.plane.apply();
}
