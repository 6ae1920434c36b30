import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Netns } from '../sys/netns.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { hasLegacyTables, watchLegacyTables } from './changes.ts';

/** A namespace whose lists of legacy tables are these, one look after the other; the last one stays. */
function namespace(texts: readonly string[]) {
  let looks = 0;
  const run = () => {
    // A watch that does not wait would block this process forever.
    assert.ok(looks < 100, 'looks without end');
    return texts[looks++] ?? texts.at(-1);
  };
  return { netns: { run } as Partial<Netns> as Netns, looks: () => looks };
}

async function watch(t: TestContext, texts: readonly string[]) {
  const clock = new ManualClock();
  const { netns, looks } = namespace(texts);
  const changes: number[] = [];
  const stop = new AbortController();
  const onChange = () => void changes.push(clock.monotonic());
  const watching = watchLegacyTables(netns, { clock, interval: 5000, onChange }, stop.signal);
  t.after(async () => {
    stop.abort();
    await watching;
  });
  await clock.advance(21_000);
  return { changes, looks: looks() };
}

test('the tables of the legacy iptables are looked at now and then, and a change is reported once', async t => {
  assert.deepEqual(await watch(t, ['/', '/', 'filter\n/', 'filter\n/', '/']), {
    changes: [10_000, 20_000],
    looks: 5,
  });
});

test('there are legacy tables when one of the lists has a name', () => {
  for (const [text, expected] of [
    ['/', false],
    ['\n/\n', false],
    ['/nat\n', true],
    ['filter\n/', true],
  ] as const) {
    assert.equal(hasLegacyTables(namespace([text]).netns), expected, JSON.stringify(text));
  }
});
