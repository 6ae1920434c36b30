import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { within } from '../../test/support/eventually.ts';
import { printed } from '../../test/support/output.ts';
import { flannelAttributes, hostAttributes, RegistryFixture } from '../../test/support/registry.ts';
import type { ConfigError } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { checkConfig, showConfig, writeConfig } from './config.ts';
import { listLeases, releaseLease, reserveSubnet, showLease, watchLeases } from './leases.ts';

const CONFIG = '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan", "VNI": 88}}';

/** Lets everything run that waits for nothing but its turn; the store in memory waits for nothing else. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

describe('tulle config', () => {
  test('every problem is reported at once, the backend included', () => {
    const wrong = '{"Network":"10.3.0.0/16","SubnetLen":99,"Backend":{"Type":"wireguard"}}';
    assert.throws(
      () => checkConfig(wrong),
      (error: ConfigError) => {
        assert.deepEqual(
          error.problems.map(({ path }) => path),
          ['SubnetLen', 'Backend.Type'],
        );
        return true;
      },
    );
  });

  test('stores what is good and prints it as it was written', async t => {
    const { registry } = new RegistryFixture();
    await assert.rejects(showConfig(registry, {}), { code: 'NOT_FOUND' });
    const { lines: stored } = await printed(t, () =>
      writeConfig(registry, CONFIG, checkConfig(CONFIG).config, false),
    );
    assert.deepEqual(stored, ['stored /coreos.com/network/config']);
    assert.equal((await printed(t, () => showConfig(registry, {}))).out, `${CONFIG}\n`);
    assert.deepEqual((await printed(t, () => showConfig(registry, { effective: true }))).lines, [
      'network    10.5.0.0/16',
      'subnets    255 of /24, 10.5.1.0 to 10.5.255.0',
      'backend    vxlan, VNI 88',
      'firewall   iptables where it is installed',
      'fast path  auto',
    ]);
  });

  // A4
  test('A4: refuses a network that holds addresses of hosts, whatever is said', async () => {
    const fixture = new RegistryFixture();
    const { registry } = fixture;
    await fixture.store.put(
      `${registry.subnetsPrefix}/10.5.34.0-24`,
      new TextEncoder().encode('{"PublicIP":"192.168.65.3","PublicIPv6":null}'),
    );
    const text = '{"Network": "192.168.0.0/16", "Backend": {"Type": "vxlan"}}';
    await assert.rejects(writeConfig(registry, text, checkConfig(text).config, true), {
      message: /Network = "192\.168\.0\.0\/16": contains addresses of hosts: 192\.168\.65\.3/,
    });
  });

  test('refuses with every problem, those of the backend too', () => {
    assert.throws(() => checkConfig('{"Network": "10.5.0.0/33", "SubnetLen": "x"}'), /SubnetLen.*Network/);
    assert.throws(
      () =>
        checkConfig('{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan", "VNI": 16777216, "Port": -1}}'),
      /Backend\.VNI.*Backend\.Port/,
    );
    assert.throws(() => checkConfig('{"Network": "10.5.0.0/16", "Backend": {"Type": "carrier-pigeon"}}'), {
      code: 'INVALID_CONFIG',
    });
  });

  test('does not overwrite what another writer stored meanwhile', async () => {
    const { registry, store } = new RegistryFixture();
    const { get } = store;
    const other = new TextEncoder().encode('{"Network": "10.7.0.0/16"}');
    store.get = async (...args) => {
      const found = await get.apply(store, args);
      await store.put(registry.configKey, other);
      return found;
    };
    const { config } = checkConfig(CONFIG);
    await assert.rejects(writeConfig(registry, CONFIG, config, false), {
      code: 'NOT_NOW',
      message: /another writer/,
    });
    assert.deepEqual((await get.call(store, registry.configKey)).kv?.value, other);
  });

  test('does not take subnets away from hosts unless forced', async () => {
    const fixture = new RegistryFixture();
    await fixture.put('10.5.9.0-24', hostAttributes(3), 3600);
    const moved = '{"Network": "10.6.0.0/16", "Backend": {"Type": "vxlan"}}';
    const { config } = checkConfig(moved);
    await assert.rejects(writeConfig(fixture.registry, moved, config, false), {
      code: 'NOT_NOW',
      message: '1 lease would not fit: 10.5.9.0/24',
    });
    assert.equal((await fixture.store.get(fixture.registry.configKey)).kv, undefined);
    await writeConfig(fixture.registry, moved, config, true);
    const { kv } = await fixture.store.get(fixture.registry.configKey);
    assert.equal(new TextDecoder().decode(kv?.value), moved);
  });
});

describe('tulle lease', () => {
  const fixture = async () => {
    const made = new RegistryFixture();
    await made.store.put(made.registry.configKey, new TextEncoder().encode(CONFIG));
    await made.put('10.5.3.0-24', hostAttributes(3), 3600);
    await made.put('10.5.4.0-24', flannelAttributes(4), 7200);
    await made.put('10.5.5.0-24', flannelAttributes(5));
    await made.put('printer', 'x');
    return made;
  };

  test('list shows leases, reservations, and what is neither', async t => {
    const { registry } = await fixture();
    const { lines } = await printed(t, () => listLeases(registry, {}));
    assert.deepEqual(lines.slice(0, 4), [
      'SUBNET       PUBLIC IP     BACKEND  EXPIRES          HOST',
      '10.5.3.0/24  192.168.65.3  vxlan    in 1 h           host-3',
      '10.5.4.0/24  192.168.65.4  vxlan    in 2 h           flannel',
      '10.5.5.0/24  192.168.65.5  vxlan    never, reserved  -',
    ]);
    assert.match(lines[4] ?? '', /warning: printer is not a lease: /);
    const { out: json } = await printed(t, () => listLeases(registry, { json: true }));
    const { leases, rejected } = JSON.parse(json) as { leases: object[]; rejected: object[] };
    assert.partialDeepStrictEqual(leases[0], {
      key: '10.5.3.0-24',
      subnet: { ipv4: '10.5.3.0/24' },
      expiresInSeconds: 3600,
    });
    assert.equal(rejected.length, 1);
  });

  test('list folds a long key that is no lease for a terminal, and leaves it whole for a script', async t => {
    const { registry, store } = await fixture();
    const long = 'x'.repeat(300);
    await store.put(registry.pathOf(long), new TextEncoder().encode('x'));
    const { err: whole } = await printed(t, () => listLeases(registry, {}));
    assert.ok(whole.includes(`${long} is not a lease`));
    const { isTTY, columns } = process.stderr;
    t.after(() => Object.assign(process.stderr, { isTTY, columns }));
    Object.assign(process.stderr, { isTTY: true, columns: 80 });
    const { err: folded } = await printed(t, () => listLeases(registry, {}));
    const lines = stripVTControlCharacters(folded).split('\n');
    assert.deepEqual(
      lines.filter(line => line.length > 80),
      [],
    );
    assert.equal(lines.join('').match(/x/g)?.length, whole.match(/x/g)?.length, 'nothing is left out');
  });

  test('show finds a lease by each of its names', async t => {
    const { registry } = await fixture();
    for (const name of ['10.5.3.0/24', '10.5.3.0-24', '192.168.65.3', 'host-3']) {
      const { out: text } = await printed(t, () => showLease(registry, name, {}));
      assert.match(text, /^key +\/coreos\.com\/network\/subnets\/10\.5\.3\.0-24$/m, name);
      assert.match(text, /^data +\{"VNI":88,"VtepMAC":"02:00:00:00:00:03"\}$/m);
    }
    await assert.rejects(showLease(registry, '10.5.77.0/24', {}), { code: 'NOT_FOUND' });
    await assert.rejects(showLease(registry, 'printer', {}), /printer is not a lease/);
  });

  test('a name that two leases have is refused, not guessed', async () => {
    const made = await fixture();
    await made.put('10.5.30.0-24', hostAttributes(3), 3600);
    await assert.rejects(showLease(made.registry, 'host-3', {}), /10\.5\.3\.0\/24.*10\.5\.30\.0\/24/);
    await assert.rejects(releaseLease(made.registry, 'host-3', true));
    assert.equal(Object.keys(await made.owners()).length, 4);
  });

  test('reserve pins a subnet to a host, and says why it cannot', async t => {
    const { registry } = await fixture();
    const publicIp = { ipv4: Ip.parse('192.168.65.9') };
    const { lines: said } = await printed(t, () => reserveSubnet(registry, '10.5.9.0/24', { publicIp }));
    assert.deepEqual(said, ['reserved 10.5.9.0/24']);
    await assert.rejects(reserveSubnet(registry, '10.5.3.0/24', { publicIp }), /held by 192\.168\.65\.3/);
    await assert.rejects(reserveSubnet(registry, '10.5.8.0/24', { publicIp: {} }), { code: 'USAGE' });
    await assert.rejects(reserveSubnet(registry, '10.5.8.0/24,10.5.7.0/24', { publicIp }), { code: 'USAGE' });
  });

  test('release frees a reservation, and a lease only when forced', async () => {
    const made = await fixture();
    await releaseLease(made.registry, '10.5.5.0/24', false);
    await assert.rejects(releaseLease(made.registry, '10.5.3.0/24', false), {
      code: 'NOT_NOW',
      message: '192.168.65.3 holds 10.5.3.0/24 for another 1 h',
    });
    await releaseLease(made.registry, '10.5.3.0/24', true);
    assert.deepEqual(Object.keys(await made.owners()), ['10.5.4.0-24']);
  });

  test('watch prints what is there, what changes and what goes, and what was lost in a gap', async t => {
    const made = await fixture();
    const { store, registry } = made.connect();
    const stop = new AbortController();
    const { lines } = await printed(t, async () => {
      const watching = watchLeases(registry, stop.signal, {});
      await turns();
      await made.put('10.5.3.0-24', { ...hostAttributes(3), backendType: 'host-gw' }, 3600);
      await made.put('10.5.6.0-24', hostAttributes(6), 3600);
      await turns();
      store.cut();
      await made.store.delete(made.registry.pathOf('10.5.6.0-24'));
      store.heal();
      await turns();
      stop.abort(new Error('enough'));
      await within('the watch ends', watching);
    });
    assert.deepEqual(lines, [
      '+ 10.5.3.0/24 192.168.65.3 vxlan host-3',
      '+ 10.5.4.0/24 192.168.65.4 vxlan flannel',
      '+ 10.5.5.0/24 192.168.65.5 vxlan',
      '~ 10.5.3.0/24 192.168.65.3 host-gw host-3',
      '+ 10.5.6.0/24 192.168.65.6 vxlan host-6',
      'no contact with the store: connection cut',
      'in contact with the store again',
      '- 10.5.6.0/24 192.168.65.6 vxlan host-6',
    ]);
  });
});
