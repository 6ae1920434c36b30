/** How a lease is named on a command line, and what its commands do when the store changes at that moment. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { within } from '../../test/support/eventually.ts';
import { printed } from '../../test/support/output.ts';
import {
  encodeText,
  flannelAttributes,
  hostAttributes,
  RegistryFixture,
} from '../../test/support/registry.ts';
import { Ip } from '../base/ip.ts';
import { byFamily } from '../base/per-family.ts';
import { listLeases, releaseLease, reserveSubnet, showLease, watchLeases } from './leases.ts';

const CONFIG = '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}';
const named = (number: number, hostName: string) => ({ ...hostAttributes(number), hostName });

async function network(): Promise<RegistryFixture> {
  const fixture = new RegistryFixture();
  await fixture.store.put(fixture.registry.configKey, encodeText(CONFIG));
  return fixture;
}

/** Lets everything run that waits for nothing but its turn; the store in memory waits for nothing else. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

test('a lease is found by each of its public addresses', async t => {
  const fixture = await network();
  await fixture.put(
    '10.5.3.0-24',
    { ...hostAttributes(3), publicIp: byFamily(Ip.parse('192.168.65.3'), Ip.parse('fd65::3')) },
    3600,
  );
  for (const address of ['192.168.65.3', 'fd65::3']) {
    const { out } = await printed(t, () => showLease(fixture.registry, address, {}));
    assert.match(out, /^public ip +192\.168\.65\.3 fd65::3$/m, address);
  }
  await assert.rejects(showLease(fixture.registry, '192.168.65', {}), { code: 'NOT_FOUND' });
});

test('a lease of two families is found by either subnet, or by both', async t => {
  const fixture = await network();
  await fixture.put('10.5.3.0-24&fd00:5:0:3::-64', hostAttributes(3), 3600);
  for (const subnet of ['10.5.3.0/24', 'fd00:5:0:3::/64', '10.5.3.0/24, fd00:5:0:3::/64']) {
    const { out } = await printed(t, () => showLease(fixture.registry, subnet, {}));
    assert.match(out, /^subnet +10\.5\.3\.0\/24, fd00:5:0:3::\/64$/m, subnet);
  }
  for (const subnet of ['10.5.3.0/25', 'fd00:5::/64', '10.5.4.0/24, fd00:5:0:3::/64']) {
    await assert.rejects(showLease(fixture.registry, subnet, {}), { code: 'NOT_FOUND' }, subnet);
  }
});

test('an expiry that the store does not know is not given out as any other', async t => {
  const fixture = await network();
  const { registry, store } = fixture;
  await fixture.put('10.5.3.0-24', hostAttributes(3), 3600);
  store.timeToLive = async () => undefined;
  const { lines } = await printed(t, () => listLeases(registry, {}));
  assert.match(lines[1] ?? '', /^10\.5\.3\.0\/24 .* unknown +host-3$/);
});

describe('a reservation for a host by its name', () => {
  test('is for the id of the host that has it now', async () => {
    const fixture = await network();
    await fixture.put('10.5.3.0-24', named(3, 'docker3'), 3600);
    await fixture.put('10.5.4.0-24', named(4, 'docker4'), 3600);
    await reserveSubnet(fixture.registry, '10.5.9.0/24', { publicIp: {}, host: 'docker4' });
    await reserveSubnet(fixture.registry, '10.5.10.0/24', { publicIp: {}, host: 'an-id' });
    const { '10.5.9.0-24': first, '10.5.10.0-24': second } = await fixture.owners();
    assert.deepEqual([first, second], ['host-4', 'an-id']);
  });

  test('is refused when several hosts have the name', async () => {
    const fixture = await network();
    await fixture.put('10.5.3.0-24', named(3, 'docker'), 3600);
    await fixture.put('10.5.4.0-24', named(4, 'docker'), 3600);
    await assert.rejects(reserveSubnet(fixture.registry, '10.5.9.0/24', { publicIp: {}, host: 'docker' }), {
      code: 'USAGE',
      message: '2 hosts are named docker: host-3, host-4',
    });
    assert.equal((await fixture.owners())['10.5.9.0-24'], undefined);
  });
});

test('more blocks than one per family are no subnet', async () => {
  const { registry } = await network();
  const owner = { publicIp: byFamily(Ip.parse('192.168.65.9')) };
  for (const text of ['10.5.1.0/24,10.5.2.0/24', '10.5.1.0/24,fd00::/64,fd01::/64', 'fd00::/64,fd01::/64']) {
    await assert.rejects(reserveSubnet(registry, text, owner), { code: 'USAGE', message: /more than one/ });
  }
});

test('a lease that changes while it is released is not released', async () => {
  const fixture = await network();
  await fixture.put('10.5.3.0-24', hostAttributes(3), 3600);
  const { store, registry } = fixture.connect();
  const list = store.list.bind(store);
  store.list = async prefix => {
    const found = await list(prefix);
    await fixture.put('10.5.3.0-24', hostAttributes(4), 3600);
    return found;
  };
  await assert.rejects(releaseLease(registry, '10.5.3.0/24', true), {
    code: 'NOT_NOW',
    message: '10.5.3.0-24 has just changed',
  });
  assert.deepEqual(await fixture.owners(), { '10.5.3.0-24': 'host-4' });
});

test('watch compares with what it knows when the store has forgotten the changes in between', async t => {
  const fixture = await network();
  await fixture.put('10.5.3.0-24', hostAttributes(3), 3600);
  await fixture.put('10.5.4.0-24', flannelAttributes(4), 3600);
  const { store, registry } = fixture.connect();
  const stop = new AbortController();
  const { lines } = await printed(t, async () => {
    const watching = watchLeases(registry, stop.signal, {});
    await turns();
    store.cut();
    await fixture.store.delete(fixture.registry.pathOf('10.5.4.0-24'));
    await fixture.put('10.5.5.0-24', hostAttributes(5), 3600);
    fixture.database.compact();
    store.heal();
    await turns();
    await fixture.put('10.5.4.0-24', flannelAttributes(4), 3600);
    await fixture.put('10.5.5.0-24', 'no lease');
    await turns();
    stop.abort(new Error('enough'));
    await within('the watch ends', watching);
  });
  assert.deepEqual(
    lines.filter(line => /^[+~-]/.test(line)),
    [
      '+ 10.5.3.0/24 192.168.65.3 vxlan host-3',
      '+ 10.5.4.0/24 192.168.65.4 vxlan flannel',
      '- 10.5.4.0/24 192.168.65.4 vxlan flannel',
      '+ 10.5.5.0/24 192.168.65.5 vxlan host-5',
      '+ 10.5.4.0/24 192.168.65.4 vxlan flannel',
      '- 10.5.5.0/24 192.168.65.5 vxlan host-5',
    ],
  );
});
