import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { macOf, SegmentFixture } from '../../test/support/segments.ts';
import { Ip } from '../base/ip.ts';
import { silentLogger } from '../base/log.ts';
import { Prefix } from '../base/prefix.ts';
import type { ReserveRequest } from './choose-address.ts';
import { OverlayAddresses } from './overlay-addresses.ts';

const request = (number: number, more: Partial<ReserveRequest> = {}): ReserveRequest => ({
  family: 'ipv4',
  engine: 'cni',
  container: `c${number}`,
  mac: macOf(number),
  ...more,
});

async function setUp(t: TestContext, subnet = '10.9.0.0/16') {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-reserve-'));
  t.after(() => rm(directory, { recursive: true }));
  const fixture = new SegmentFixture();
  const segment = await fixture.add({ subnets: [subnet] });
  const start = async (number: number) => {
    const host = fixture.host(number, join(directory, `${number}`));
    await fixture.clock.advance(0);
    host.presence.setEndpoints(segment, []);
    const reserve = async (of: number, more: Partial<ReserveRequest> = {}) => {
      const ip = await host.addresses.reserve(
        'blue',
        request(number * 256 + of, { container: `c${of}`, ...more }),
      );
      await fixture.clock.advance(0);
      return `${ip}`;
    };
    return { host, reserve, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() };
  };
  return { start, fixture, directory };
}

test('an address is held by its engine until it is released, also over a restart', async t => {
  const { start } = await setUp(t);
  {
    await using one = await start(1);
    assert.equal(await one.reserve(1), '10.9.1.1');
    assert.equal(await one.reserve(1), '10.9.1.2', 'a container may have several');
    const ip = Ip.parse('10.9.1.1');
    assert.equal(await one.reserve(1, { ip }), '10.9.1.1', 'a call that comes twice');
    await assert.rejects(one.reserve(2, { ip }), { code: 'DUPLICATE_ADDRESS' });
    // The name of a container frees nothing that an engine holds.
    await one.host.addresses.disconnect('blue', 'c1');
  }
  await using one = await start(1);
  assert.deepEqual(
    (await one.host.addresses.held('blue')).map(({ ip }) => `${ip}`),
    ['10.9.1.1', '10.9.1.2'],
  );
  assert.deepEqual(await one.host.addresses.given('blue'), []);
  await one.host.addresses.release('blue', Ip.parse('10.9.1.1'));
  await one.host.addresses.release('blue', Ip.parse('10.9.1.1'));
  assert.equal(await one.reserve(3), '10.9.1.3');
});

test('an address of the range needs no store, and one of no range asks it', async t => {
  const { start, fixture } = await setUp(t);
  await using one = await start(1);
  await using two = await start(2);
  assert.equal(await one.reserve(1), '10.9.1.1');
  const elsewhere = Ip.parse('10.9.77.7');
  assert.equal(await two.reserve(1, { ip: elsewhere }), '10.9.77.7');
  await assert.rejects(one.reserve(2, { ip: elsewhere }), { code: 'DUPLICATE_ADDRESS' });
  one.host.store.cut();
  await fixture.clock.advance(0);
  assert.equal(await one.reserve(2), '10.9.1.2');
  assert.equal(await one.reserve(3, { ip: Ip.parse('10.9.1.200') }), '10.9.1.200');
  await assert.rejects(one.reserve(4, { ip: Ip.parse('10.9.78.1') }), /no range of this host/);
});

test('an address that is kept is given to others only when there is no further one', async t => {
  const { start } = await setUp(t, '10.9.0.0/28');
  await using one = await start(1);
  const keep = { keep: true };
  assert.equal(await one.reserve(1, keep), '10.9.0.5');
  await one.host.addresses.release('blue', Ip.parse('10.9.0.5'));
  const others: string[] = [];
  for (let number = 2; number <= 11; number++) others.push(await one.reserve(number));
  assert.ok(!others.includes('10.9.0.5'), others.join(' '));
  assert.equal(await one.reserve(12), '10.9.0.5');
  await assert.rejects(one.reserve(13), { code: 'EXHAUSTED_RANGES' });
  await one.host.addresses.release('blue', Ip.parse('10.9.0.5'));
  assert.equal(await one.reserve(1, keep), '10.9.0.5');
});

test('of the leased subnet every address but the first and the last is given out, and those of a former one stay', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'tulle-reserve-'));
  t.after(() => rm(directory, { recursive: true }));
  const room = (text: string) => {
    const subnet = Prefix.parse(text);
    return { subnets: { ipv4: subnet }, gateways: { ipv4: subnet.ip.plus(1) } };
  };
  const addresses = await OverlayAddresses.open(directory, silentLogger);
  const given: string[] = [];
  for (let number = 0; number < 5; number++) {
    given.push(`${await addresses.reserve(request(number), room('10.3.4.0/29'))}`);
  }
  assert.deepEqual(given, ['10.3.4.2', '10.3.4.3', '10.3.4.4', '10.3.4.5', '10.3.4.6']);
  await assert.rejects(addresses.reserve(request(9), room('10.3.4.0/29')), { code: 'NO_ADDRESS' });
  const ip = Ip.parse('10.3.4.1');
  await assert.rejects(addresses.reserve(request(9, { ip }), room('10.3.4.0/29')), {
    code: 'UNUSABLE_ADDRESS',
  });
  const wanted = { ip: Ip.parse('10.3.4.2') };
  await assert.rejects(addresses.reserve(request(9, wanted), room('10.3.4.0/29')), { code: 'TAKEN_ADDRESS' });
  await addresses.close();
  const again = await OverlayAddresses.open(directory, silentLogger);
  assert.equal(`${await again.reserve(request(9), room('10.3.8.0/29'))}`, '10.3.8.2');
  assert.equal(again.size, 6);
  await again.release(Ip.parse('10.3.4.2'));
  assert.equal(again.holder(Ip.parse('10.3.4.2')), undefined);
  await again.close();
});
