import assert from 'node:assert/strict';
import { test } from 'node:test';
import { within } from '../../test/support/eventually.ts';
import { Ip } from '../base/ip.ts';
import { silentLogger } from '../base/log.ts';
import { Prefix } from '../base/prefix.ts';
import { ManualClock } from '../testing/manual-clock.ts';
import { ForwarderTarget } from './forwarder-target.ts';

const FILES = {
  program: '/nonexistent/tulle',
  control: '/nonexistent/x.sock',
  logFile: '/nonexistent/x.log',
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
