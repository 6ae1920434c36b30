/** An L2 network over three hosts: what is flooded and to whom, and what faults do to it. */
import { after, before, describe, test } from 'node:test';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { addSegment, removeSegment } from '../../src/subnet/segment/administration.ts';
import { SegmentRegistry } from '../../src/subnet/segment/segment-registry.ts';
import { eventually } from '../support/eventually.ts';
import { needsFaultLab } from './fault-host.ts';
import { FaultLab } from './fault-lab.ts';

describe('an L2 network', needsFaultLab, () => {
  const lab = new FaultLab({ hosts: 3, store: 'tulle' });
  const made = new AsyncDisposableStack();
  let registry: SegmentRegistry;

  before(async () => {
    made.use(lab);
    await lab.create();
    const store = made.use(new EtcdStore({ endpoints: [lab.store.url] }));
    registry = new SegmentRegistry(store, { prefix: NETWORK_PREFIX });
  });
  after(() => made.disposeAsync());

  test('comes to every host when it is made, and goes when it is deleted', async () => {
    const links = async () => {
      const all = await Promise.all(lab.hosts.map(host => host.json<{ ifname: string }>('ip -json link')));
      return all.map(each => each.filter(({ ifname }) => /^t[bv]-blue$/.test(ifname)).length).join();
    };
    await addSegment(registry, { name: 'blue', subnets: ['10.88.0.0/16'], vni: 16777215 });
    await eventually('every host has both links', async () => (await links()) === '2,2,2');
    await removeSegment(registry, 'blue');
    await eventually('no host has a link of it', async () => (await links()) === '0,0,0');
  });
});
