import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { fc } from '../testing/properties.ts';
import { findPathMtu } from './path-mtu.ts';
import type { ProbeResult } from './prober.ts';

const TO = Ip.parse('10.0.0.1');

/** A path that carries this much, and counts what it was asked. */
class Path {
  asked = 0;
  readonly #mtu: number;
  readonly #refusal: ProbeResult;

  constructor(mtu: number, refusal: ProbeResult) {
    this.#mtu = mtu;
    this.#refusal = refusal;
  }

  async probe(_to: Ip, { size = 28 }: { readonly size?: number }): Promise<ProbeResult> {
    this.asked++;
    return size <= this.#mtu ? { outcome: 'answered', ms: 1 } : this.#refusal;
  }
}

const search = (path: Path) => findPathMtu(path, TO, { least: 68, most: 1500, timeout: 1000, tries: 2 });

test('the size that passes is found, whatever a link says about what does not', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 2000 }),
      fc.integer({ min: 0, max: 2000 }),
      async (mtu, hint) => {
        const refusals: ProbeResult[] = [{ outcome: 'silent' }, { outcome: 'too big' }];
        // A router that names too little is believed: nothing larger is tried.
        if (hint >= mtu) refusals.push({ outcome: 'too big', mtu: hint });
        for (const refusal of refusals) {
          const path = new Path(mtu, refusal);
          const { size, isBlackHole } = await search(path);
          assert.equal(size, mtu < 68 ? undefined : Math.min(mtu, 1500));
          assert.equal(isBlackHole, refusal.outcome === 'silent' && mtu >= 68 && mtu < 1500);
          assert.ok(path.asked <= 2 + 2 * 12, `${path.asked} probes`);
        }
      },
    ),
  );
});

test('a path that takes the largest costs two probes, and one whose router says what it takes three', async () => {
  const [whole, honest] = [
    new Path(1500, { outcome: 'silent' }),
    new Path(1400, { outcome: 'too big', mtu: 1400 }),
  ];
  assert.deepEqual(await search(whole), { size: 1500, isBlackHole: false });
  assert.deepEqual(await search(honest), { size: 1400, isBlackHole: false });
  assert.deepEqual([whole.asked, honest.asked], [2, 3]);
});
