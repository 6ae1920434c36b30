import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { AttachmentError } from '../../network/attachment/attachments.ts';
import { FakeAttachments } from './fake-attachments.ts';

const wish = { engine: 'docker', container: 'web', mac: Mac.fromKey(2) } as const;

test('addresses and links are given once, and taken back in either order', async () => {
  const fake = new FakeAttachments();
  await fake.ensure({ name: 'blue', subnets: {}, gateways: {}, ipv6: true, internal: false });
  const ip = await fake.reserve('blue', { ...wish, family: 'ipv4' });
  assert.equal(`${ip}`, '10.129.0.2');
  assert.equal(await fake.reserve('blue', { ...wish, family: 'ipv4', ip }), ip);
  await assert.rejects(fake.reserve('blue', { ...wish, family: 'ipv4', ip, mac: Mac.fromKey(4) }), {
    code: 'ADDRESS_TAKEN',
  });
  const attachWish = { ...wish, id: 'e1', network: 'blue', addresses: { ipv4: ip } };
  const ports = [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }] as const;
  const made = await fake.attach({ ...attachWish, ports });
  assert.equal(await fake.attach({ ...attachWish, ports }), made);
  const [published] = (await fake.attach({ ...attachWish, ports: [{ ...ports[0], hostPort: 8081 }] })).ports;
  assert.equal(published?.hostPort, 8081, 'ports may change');
  await fake.release('blue', ip);
  assert.deepEqual(fake.held('blue').map(String), ['10.129.0.2']);
  assert.equal(await fake.detach('e1'), true);
  assert.equal(await fake.detach('e1'), false);
  assert.deepEqual(fake.held('blue'), []);
  const later = await fake.reserve('blue', { ...wish, family: 'ipv4' });
  assert.equal(`${later}`, '10.129.0.3');
  await fake.reconcile('docker', { ids: new Set(), ips: [] }, performance.now());
  assert.deepEqual(fake.held('blue'), []);
});

test('an address that is kept comes back to the container of the same name', async () => {
  const fake = new FakeAttachments();
  const first = await fake.reserve('default', { ...wish, family: 'ipv4', keep: true });
  await fake.release('default', first);
  const other = await fake.reserve('default', { ...wish, container: 'db', family: 'ipv4' });
  assert.notEqual(`${other}`, `${first}`);
  assert.equal(`${await fake.reserve('default', { ...wish, family: 'ipv4', keep: true })}`, `${first}`);
});

test('a failure that is asked for comes once', async () => {
  const fake = new FakeAttachments();
  fake.failures.release = new AttachmentError('NOT_READY', 'no underlay');
  await assert.rejects(fake.release('default', Ip.parse('10.3.4.9')), { code: 'NOT_READY' });
  await fake.release('default', Ip.parse('10.3.4.9'));
});
