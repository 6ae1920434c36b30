import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { eventually } from '../../../test/support/eventually.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { NETWORK_PREFIX } from '../../console/defaults.ts';
import type { KeyValue } from '../../store/store.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { KnownStateFile, lastRunOf } from './known-state.ts';

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tt-known-'));
  directory = join(root, 'tulle');
});
afterEach(() => rmSync(root, { recursive: true }));

const keyValue = (name: string, value: string | Uint8Array, lease = 0n): KeyValue => ({
  key: `${NETWORK_PREFIX}/${name}`,
  value: Buffer.from(value),
  createRevision: 7n,
  modRevision: 18_446_744_073_709_551_615n,
  version: 2n,
  lease,
});

/** Saves what `states` hold, one after the other, and waits until the last one is on disk. */
async function save(...states: (readonly KeyValue[])[]): Promise<KnownStateFile> {
  const clock = new ManualClock();
  const file = new KnownStateFile(directory, NETWORK_PREFIX, clock);
  const stop = new AbortController();
  const running = file.run(stop.signal);
  for (const state of states) {
    file.changed(() => ({ keys: state, devices: ['flannel.88'], config: Buffer.from('{"Network": ') }));
    await clock.advance(10_000);
    await written(file);
  }
  stop.abort();
  await running;
  return file;
}

/** Writing is real I/O: wait for its outcome, whichever it is. */
async function written(file: KnownStateFile): Promise<void> {
  await eventually('the state was written or refused', async () => {
    return file.failure.value !== undefined || textOnDisk() !== undefined;
  });
}

/** `load` would take the file of a write that is under way for one that was left behind. */
function textOnDisk(): string | undefined {
  const names = existsSync(directory) && statSync(directory).isDirectory() ? readdirSync(directory) : [];
  const name = names.find(name => !name.startsWith('.'));
  return name && readFileSync(join(directory, name), 'utf8');
}

test('what must not be forgotten is on disk at once, and the newest of it', async () => {
  const file = new KnownStateFile(directory, NETWORK_PREFIX, new ManualClock());
  file.changed(() => ({ keys: [], devices: ['older'] }));
  const older = file.save();
  file.changed(() => ({ keys: [], devices: ['newer'] }));
  await Promise.all([older, file.save()]);
  assert.deepEqual((await file.load())?.devices, ['newer']);
});

test('what changes at once is on disk before any time has passed', async () => {
  const file = new KnownStateFile(directory, NETWORK_PREFIX, new ManualClock());
  file.changed(() => ({ keys: [], devices: ['flannel.88'] }), 'at once');
  await written(file);
  assert.deepEqual((await file.load())?.devices, ['flannel.88']);
});

test('after a write that took a minute the next one is not twenty minutes away', async () => {
  const time = new ManualClock();
  let busy = 0;
  const clock: Clock = {
    now: () => time.now(),
    monotonic: () => time.monotonic() + busy,
    sleep: (ms, signal) => time.sleep(ms, signal),
  };
  const file = new KnownStateFile(directory, NETWORK_PREFIX, clock);
  const stop = new AbortController();
  const running = file.run(stop.signal);
  const slowly = (device: string) => () => {
    busy += 60_000;
    return { keys: [], devices: [device] };
  };
  for (const device of ['older', 'newer']) {
    file.changed(slowly(device));
    await eventually('it rests', async () => time.sleeping === 1);
    await time.advance(10_000);
    await eventually(`${device} is on disk`, async () => textOnDisk()?.includes(device));
  }
  stop.abort();
  await running;
});

test('what was saved is found by the next agent, to the last bit', async () => {
  const state = [
    keyValue('config', '{"Network":"10.3.0.0/16"}'),
    keyValue('subnets/10.3.4.0-24', '{}', 1_234_567_890_123_456_789n),
    keyValue('subnets/garbage', Uint8Array.of(0, 255, 128)),
  ];
  await save(state);
  const found = await new KnownStateFile(directory, NETWORK_PREFIX, systemClock).load();
  assert.deepEqual(
    [...(found?.keys ?? [])].map(({ value, ...rest }) => ({
      ...rest,
      value: Buffer.from(value).toString('hex'),
    })),
    state.map(({ value, ...rest }) => ({ ...rest, value: Buffer.from(value).toString('hex') })),
  );
  assert.deepEqual(found?.devices, ['flannel.88']);
  assert.equal(Buffer.from(found?.config ?? []).toString(), '{"Network": ');
});

test('a state of many pieces is one whole', async () => {
  const state = Array.from({ length: 500 }, (_, index) => keyValue(`subnets/${index}`, 'é'.repeat(100)));
  await save(state);
  const found = await new KnownStateFile(directory, NETWORK_PREFIX, systemClock).load();
  assert.deepEqual(
    [...(found?.keys ?? [])].map(({ key, value }) => [key, Buffer.from(value).toString()]),
    state.map(({ key }) => [key, 'é'.repeat(100)]),
  );
});

test('a state of nothing is one, too', async () => {
  await save([]);
  const found = await new KnownStateFile(directory, NETWORK_PREFIX, systemClock).load();
  assert.deepEqual([...(found?.keys ?? ['nothing was found'])], []);
  assert.deepEqual(found?.devices, ['flannel.88']);
});

test("another network's state is not taken for ours", async () => {
  await save([keyValue('config', '{}')]);
  assert.equal(await new KnownStateFile(directory, '/other', systemClock).load(), undefined);
  assert.equal(readdirSync(directory).length, 1);
});

test('a damaged file counts as none', async () => {
  const file = await save([keyValue('config', '{}')]);
  const path = join(directory, readdirSync(directory)[0] ?? '');
  const whole = readFileSync(path, 'utf8');
  const cut = whole.replace(/"value":"[^"]*"/, '"value":');
  for (const damage of [
    '',
    whole.slice(0, -20),
    whole.slice(0, -1),
    cut,
    whole.replace('"version":1', '"version":2'),
    '[]',
    'null',
  ]) {
    writeFileSync(path, damage);
    assert.equal(await file.load(), undefined, damage);
  }
});

test('a disk that cannot be written is a failure until it can', async () => {
  writeFileSync(directory, 'in the way');
  const clock = new ManualClock();
  const file = new KnownStateFile(directory, NETWORK_PREFIX, clock);
  const stop = new AbortController();
  const running = file.run(stop.signal);
  file.changed(() => ({ keys: [keyValue('config', 'old')], devices: [] }));
  await clock.advance(2000);
  await written(file);
  assert.equal(file.failure.value?.code, 'STATE_NOT_SAVED');

  rmSync(directory);
  file.changed(() => ({ keys: [keyValue('config', 'new')], devices: [] }));
  await eventually('the state was written', async () => {
    await clock.advance(5000);
    return file.failure.value === undefined;
  });
  assert.equal(Buffer.from([...((await file.load())?.keys ?? [])][0]?.value ?? '').toString(), 'new');
  stop.abort();
  await running;
});

test('the configuration in use and the one that was being left are found, with their texts', async () => {
  const [config, leaving] = [
    '{"Network":"10.3.0.0/16"}',
    '{"Network":"10.3.0.0/16","Backend":{"Type":"vxlan"}}',
  ].map(text => Buffer.from(text)) as [Buffer, Buffer];
  const clock = new ManualClock();
  const file = new KnownStateFile(directory, NETWORK_PREFIX, clock);
  const stop = new AbortController();
  const running = file.run(stop.signal);
  file.changed(() => ({ keys: [], devices: ['flannel.1'], config, leaving }));
  await clock.advance(10_000);
  await written(file);
  stop.abort();
  await running;
  const last = lastRunOf((await file.load()) ?? assert.fail(), undefined);
  assert.deepEqual([last.config?.backend.type, last.leaving?.backend.type], ['udp', 'vxlan']);
  const texts = [last.config, last.leaving].map(used => used && last.texts.get(used));
  assert.deepEqual(texts.map(String), [config, leaving].map(String));
  const nothing = lastRunOf({ keys: [], devices: [], config: Buffer.from('{') }, undefined);
  assert.deepEqual([nothing.config, nothing.leaving], [undefined, undefined]);
});
