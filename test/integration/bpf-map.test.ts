/** Maps of the real kernel, read and written here, and as bpftool shows them. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isCode } from '../../src/base/errors.ts';
import { BpfMap, type MapOptions } from '../../src/bpf/map.ts';
import { readEntries } from '../../src/bpf/map-entries.ts';
import { RingBuffer } from '../../src/bpf/ring-buffer.ts';
import { bpftool, needsBpf, needsBpftool } from '../support/bpftool.ts';
import { eventually } from '../support/eventually.ts';

const bytes = (...words: number[]) => new Uint8Array(new Uint32Array(words).buffer);

function mapOf(t: TestContext, options: Partial<MapOptions> = {}): BpfMap {
  const map = BpfMap.create({
    type: 'hash',
    name: 'tt_map',
    keySize: 4,
    valueSize: 8,
    entries: 4096,
    ...options,
  });
  t.after(() => map[Symbol.dispose]());
  return map;
}

for (const type of ['hash', 'lru hash'] as const) {
  test(`a ${type}: what is set is there until it is deleted`, needsBpf, t => {
    const map = mapOf(t, { type });
    assert.equal(map.get(bytes(1)), undefined);
    map.set(bytes(1), bytes(2, 3));
    assert.deepEqual(map.get(bytes(1)), bytes(2, 3));
    map.set(bytes(1), bytes(4, 5));
    assert.deepEqual(map.get(bytes(1)), bytes(4, 5));
    assert.equal(map.delete(bytes(1)), true);
    assert.equal(map.delete(bytes(1)), false);
    assert.equal(map.get(bytes(1)), undefined);
  });

  test(`a ${type}: its entries, in batches, each once`, needsBpf, t => {
    const map = mapOf(t, { type });
    assert.deepEqual([...map.entries(10)], []);
    for (let key = 0; key < 2000; key++) map.set(bytes(key), bytes(key, key + 1));
    const word = (value: Uint8Array, at: number) => new Uint32Array(value.buffer)[at] ?? 0;
    const found = new Map(
      Array.from(map.entries(10_000), ([key, value]) => [word(key, 0), word(value, 1)] as const),
    );
    assert.equal(found.size, 2000);
    for (const [key, value] of found) assert.equal(value, key + 1);
    assert.equal([...map.entries(700)].length, 700, 'not more than was asked for');
  });
}

test('more entries in a bucket than a batch has room for', needsBpf, t => {
  const map = mapOf(t);
  for (let key = 0; key < 1000; key++) map.set(bytes(key), bytes(key, 0));
  const keys = Array.from(readEntries(map.fd, map.options, 10_000, 1), ([key]) => key.join());
  assert.deepEqual([keys.length, new Set(keys).size], [1000, 1000]);
});

test('an LRU hash forgets when it is full, a hash refuses', needsBpf, t => {
  const lru = mapOf(t, { type: 'lru hash', entries: 64 });
  for (let key = 0; key < 10_000; key++) lru.set(bytes(key), bytes(key, 0));
  assert.ok([...lru.entries(10_000)].length <= 10_000);
  assert.deepEqual(lru.get(bytes(9_999)), bytes(9_999, 0));
  const hash = mapOf(t, { entries: 1 });
  hash.set(bytes(1), bytes(1, 1));
  assert.throws(
    () => hash.set(bytes(2), bytes(2, 2)),
    error => isCode(error, 'E2BIG'),
  );
});

test('an array has every key, and is as large as it is', needsBpf, t => {
  const map = mapOf(t, { type: 'array', entries: 3 });
  map.set(bytes(2), bytes(7, 8));
  assert.deepEqual(
    [...map.entries(10)].map(([, value]) => value),
    [bytes(0, 0), bytes(0, 0), bytes(7, 8)],
  );
  assert.equal(map.get(bytes(3)), undefined);
});

test('keys and values of another size never reach the kernel', needsBpf, t => {
  const map = mapOf(t);
  assert.throws(() => map.get(new Uint8Array(3)), RangeError);
  assert.throws(() => map.delete(new Uint8Array(5)), RangeError);
  assert.throws(() => map.set(bytes(1), new Uint8Array(7)), RangeError);
});

test('another descriptor of a map is the same map; one that is gone is none', needsBpf, async t => {
  const map = mapOf(t);
  const { id } = map;
  map.set(bytes(1), bytes(2, 3));
  {
    using again = BpfMap.open(id);
    assert.deepEqual(again?.options, map.options);
    assert.deepEqual(again?.get(bytes(1)), bytes(2, 3));
    again?.set(bytes(1), bytes(9, 9));
  }
  assert.deepEqual(map.get(bytes(1)), bytes(9, 9));
  map[Symbol.dispose]();
  // Whoever lists the maps of this machine has it open for a moment.
  await eventually('it is gone', async () => {
    using still = BpfMap.open(id);
    return still === undefined;
  });
});

test('a ring buffer that another has made is read on', needsBpf, () => {
  using first = RingBuffer.create(4096, 'tt_ring');
  const map = BpfMap.open(first.id);
  assert.ok(map);
  using second = RingBuffer.over(map);
  assert.deepEqual(second.take(10), []);
});

test('a map as bpftool shows it', needsBpftool, async t => {
  const map = mapOf(t, { type: 'lru hash', name: 'tulle_some_flows' });
  map.set(bytes(1), bytes(2, 3));
  const id = String(map.id);
  const shown = (await bpftool(['map', 'show', 'id', id])) as Record<string, unknown>;
  assert.deepEqual(
    { type: shown['type'], name: shown['name'], key: shown['bytes_key'], value: shown['bytes_value'] },
    // 15 characters are what the kernel keeps.
    { type: 'lru_hash', name: 'tulle_some_flow', key: 4, value: 8 },
  );
  assert.equal(shown['max_entries'], 4096);
  const hex = (values: Uint8Array) => Array.from(values, byte => `0x${byte.toString(16).padStart(2, '0')}`);
  assert.deepEqual(await bpftool(['map', 'dump', 'id', id]), [
    { key: hex(bytes(1)), value: hex(bytes(2, 3)) },
  ]);
  await bpftool(['map', 'update', 'id', id, 'key', ...hex(bytes(5)), 'value', ...hex(bytes(6, 7))]);
  assert.deepEqual(map.get(bytes(5)), bytes(6, 7));
});
