import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deadline, within } from '../../test/support/eventually.ts';
import { Ip } from '../base/ip.ts';
import { silentLogger } from '../base/log.ts';
import { Prefix } from '../base/prefix.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { ForwarderTarget } from './forwarder-target.ts';

const directory = mkdtempSync(join(tmpdir(), 'tt-forwarder-'));
after(() => rmSync(directory, { recursive: true }));

const FILES = {
  program: join(directory, 'tulle'),
  control: join(directory, 'x.sock'),
  logFile: join(directory, 'x.log'),
};
const target = () => new ForwarderTarget(FILES, new ManualClock(), silentLogger);
const entry = { subnet: Prefix.parse('10.3.2.0/24'), destination: Ip.parse('192.168.65.4'), port: 8285 };

test('a link that no forwarder serves has an empty table, and is not waited for', async () => {
  const forwarder = target();
  const read = (name: string) =>
    within(`the table of ${name}`, forwarder.store.read({ name, index: 3 }), 1000);
  assert.deepEqual(await read('flannel.1'), []);
  forwarder.set('none');
  assert.deepEqual(await read('flannel0'), []);
  forwarder.set({ device: 'flannel0', listen: [], mtu: 1472, own: [] });
  assert.deepEqual(await read('flannel.1'), []);
});

test('what is written is accepted before a forwarder runs, which is given all of it', async () => {
  const forwarder = target();
  forwarder.set({ device: 'flannel0', listen: [], mtu: 1472, own: [] });
  const link = { name: 'flannel0', index: 3 };
  assert.deepEqual(await forwarder.store.write([{ link, entry, former: undefined }]), [undefined]);
  assert.equal(await forwarder.stats(), undefined);
});

test('no forwarder is started while another program has the device, and one is when that is over', async () => {
  const forwarder = target();
  const stop = new AbortController();
  const running = forwarder.run(stop.signal);
  const state = (isFailed: boolean) =>
    forwarder.state.until(
      now => (now?.lastError !== undefined) === isFailed,
      deadline(`failed: ${isFailed}`),
    );
  forwarder.set({ device: 'flannel0', listen: [], mtu: 1472, own: [] });
  // There is no such program, so that each attempt shows.
  await state(true);
  forwarder.follow([{ name: 'flannel.1', code: 'NOT_OURS' }, { name: 'flannel0' }]);
  assert.match(forwarder.obstacle('flannel0') ?? '', /^no forwarder runs: /);
  for (const code of ['NOT_OURS', 'LINK_CONFLICT'] as const) {
    forwarder.follow([{ name: 'flannel0', code }]);
    await state(false);
    forwarder.follow([{ name: 'flannel0', code: 'LINK_MISSING' }]);
    await state(true);
  }
  assert.equal(forwarder.obstacle('eth0'), undefined);
  stop.abort();
  await within('it ends', running);
});
