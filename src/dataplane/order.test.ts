/** The order in which entries come and go: no packet is sent into a way that is not complete. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeHost, fakePeer } from '../testing/dataplane/fake-host.ts';

test('peers come from the far end of their way, and go from the near one', async () => {
  await using host = new FakeHost();
  await host.begin([]);
  const changes: string[] = [];
  host.kernel.refuse('EBUSY', ({ type, gone }) => {
    const change = `${gone ? 'delete' : 'add'} ${type}`;
    if (changes.at(-1) !== change) changes.push(change);
    return false;
  });
  const apply = async (...numbers: number[]) => {
    host.network.setPeers(numbers.map(number => fakePeer(number)));
    await host.plane.apply();
    return changes.splice(0);
  };
  const coming = ['add fdb', 'add neighbor', 'add nexthop', 'add route'];
  const going = ['delete route', 'delete nexthop', 'delete neighbor', 'delete fdb'];
  assert.deepEqual(await apply(2, 3), coming);
  assert.deepEqual(await apply(3, 4), [...coming, ...going], 'who comes waits for nobody who goes');
  assert.deepEqual(await apply(), going);
});
