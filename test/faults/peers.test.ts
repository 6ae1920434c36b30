/**
 * What others say of themselves changes: their devices, addresses, subnets, and leases that contradict each other.
 * docker1 is watched; the peers 188.172.200.0 and 188.172.201.0 exist in the store alone.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { eventually } from '../support/eventually.ts';
import { DEVICE, needsFaultLab } from './fault-host.ts';
import { CONFIG, useFaultLab } from './fault-lab.ts';

const MAC = { a: '02:00:00:00:00:0a', b: '02:00:00:00:00:0b', c: '02:00:00:00:00:0c' };
const [A, B] = ['188.172.200.0-24', '188.172.201.0-24'];

const lease = (address: string, mac: string, more: object = {}) => ({
  PublicIP: address,
  PublicIPv6: null,
  BackendType: 'vxlan',
  BackendData: { VNI: 88, VtepMAC: mac },
  ...more,
});

describe('peers change', needsFaultLab, () => {
  const lab = useFaultLab();

  const put = (key: string, value: object) =>
    lab.store.ctl('put', `${NETWORK_PREFIX}/subnets/${key}`, JSON.stringify(value));

  /** Waits until the kernel of docker1 has exactly these two facts about a subnet. */
  const untilWay = (subnet: string, mac: string, address: string) =>
    eventually(`${subnet} is behind ${mac} at ${address}`, async () => {
      const one = lab.host(1);
      const neighbors = await one.json<{ dst: string; lladdr: string }>(`ip -json neigh show dev ${DEVICE}`);
      const fdb = await one.json<{ mac: string; dst: string }>(`bridge -json fdb show dev ${DEVICE}`);
      const macs = neighbors.flatMap(({ dst, lladdr }) => (dst === subnet ? [lladdr] : []));
      const places = fdb.flatMap(entry => (entry.mac === mac ? [entry.dst] : []));
      return macs.join() === mac && places.join() === address;
    });

  test('MAC and public address, one after the other and both at once', async () => {
    const lost = await lab.survive(async () => {
      await put(A, lease('192.168.65.200', MAC.a));
      await untilWay('188.172.200.0', MAC.a, '192.168.65.200');
      await put(A, lease('192.168.65.200', MAC.b));
      await untilWay('188.172.200.0', MAC.b, '192.168.65.200');
      await put(A, lease('192.168.65.201', MAC.b));
      await untilWay('188.172.200.0', MAC.b, '192.168.65.201');
      await put(A, lease('192.168.65.202', MAC.c));
      await untilWay('188.172.200.0', MAC.c, '192.168.65.202');
      await lab.deleteLease(A);
    });
    assert.equal(lost, 0);
  });

  test('two exchange their addresses and devices in one transaction', async () => {
    const lost = await lab.survive(async () => {
      const [left, right] = [lease('192.168.65.200', MAC.a), lease('192.168.65.201', MAC.b)];
      await put(A, left);
      await put(B, right);
      await untilWay('188.172.201.0', MAC.b, '192.168.65.201');
      await lab.transact([
        ['put', A, right],
        ['put', B, left],
      ]);
      await untilWay('188.172.200.0', MAC.b, '192.168.65.201');
      await untilWay('188.172.201.0', MAC.a, '192.168.65.200');
      await lab.host(1).untilPeer(A, 'ok');
      await lab.host(1).untilPeer(B, 'ok');
      await lab.deleteLease(A);
      await lab.deleteLease(B);
    });
    assert.equal(lost, 0);
  });

  test('one takes the address of another: both are reported, until one has another', async () => {
    const lost = await lab.survive(async () => {
      await put(A, lease('192.168.65.200', MAC.a));
      await put(B, lease('192.168.65.200', MAC.b));
      assert.match(
        (await lab.host(1).untilWarned('SHARED_PUBLIC_IP')).reason,
        /188\.172\.200\.0-24, 188\.172\.201\.0-24/,
      );
      await put(B, lease('192.168.65.201', MAC.b));
      await lab.host(1).until('no warning is left', ({ warnings }) => warnings.length === 0);
      await untilWay('188.172.201.0', MAC.b, '192.168.65.201');
      await lab.deleteLease(A);
      await lab.deleteLease(B);
    });
    assert.equal(lost, 0);
  });

  test('one goes over to another VNI or backend: it is reached as before, and reported', async () => {
    const one = lab.host(1);
    const lost = await lab.survive(async () => {
      await put(A, lease('192.168.65.200', MAC.a));
      await untilWay('188.172.200.0', MAC.a, '192.168.65.200');
      for (const [value, reason] of [
        [lease('192.168.65.200', MAC.b, { BackendData: { VNI: 99, VtepMAC: MAC.b } }), /its VNI is 99/],
        [lease('192.168.65.200', MAC.b, { BackendType: 'host-gw' }), /the backend host-gw/],
      ] as const) {
        await put(A, value);
        const { peers } = await one.until('it is reported', status =>
          status.peers.some(({ key, reason: shown }) => key === A && reason.test(shown ?? '')),
        );
        assert.equal(peers.find(({ key }) => key === A)?.state, 'ok');
        await untilWay('188.172.200.0', MAC.a, '192.168.65.200');
      }
      await put(A, lease('192.168.65.200', MAC.b));
      await untilWay('188.172.200.0', MAC.b, '192.168.65.200');
      await one.until('it is well', ({ peers }) => peers.find(({ key }) => key === A)?.reason === undefined);
      await lab.deleteLease(A);
    });
    assert.equal(lost, 0);
  });

  test('our own subnet is moved by an operator: the host follows, and says that Docker has to', async () => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const { lease: before, host } = await one.client.status();
    const own = await lab.leaseValue(before?.key ?? '');
    await lab.transact([
      ['put', A, own],
      ['delete', before?.key ?? ''],
    ]);
    await one.until('it has the other subnet', ({ lease: held }) => held?.key === A && held.reservation);
    assert.equal((await one.untilWarned('FORMER_SUBNET')).hint?.includes('restart Docker'), true);
    await two.until('docker1 is there', ({ peers }) => {
      return peers.length === 1 && peers[0]?.key === A && peers[0].state === 'ok';
    });
    assert.equal((await lab.leaseValue(A))['TulleHost'], host.id);
    await eventually('the subnet file says so', async () => one.subnet.toString() === '188.172.200.0/24');
    await lab.deleteLease(A);
    await one.until('it has a subnet again', ({ lease: held }) => held !== undefined && held.key !== A);
    await lab.configure(CONFIG);
  });
});
