/** Neighbors (IP to MAC) and FDB entries (MAC to far end). */
import assert from 'node:assert/strict';
import { addLink, addVxlan, indexOf, ip, mac, type NetlinkCase, ONLINK, prefix } from './tools.ts';

const NTF_MASTER = 4;
const NTF_STICKY = 0x40;

const byMac = ([a]: readonly [string, ...unknown[]], [b]: readonly [string, ...unknown[]]) =>
  a.localeCompare(b);
const NUD_NOARP = 0x40;

export const neighborCases: readonly NetlinkCase[] = [
  {
    name: 'a neighbor is set, changed and deleted',
    async run({ rtnetlink: rt, show }) {
      const index = await addVxlan(rt);
      const neighbor = { index, ip: ip('10.3.2.0'), mac: mac('02:00:00:00:00:01') };
      await rt.neighbors.replace(neighbor);
      await rt.neighbors.replace({ ...neighbor, mac: mac('02:00:00:00:00:02') });
      assert.equal(show('ip neigh'), '10.3.2.0 dev flannel.88 lladdr 02:00:00:00:00:02 PERMANENT');
      await rt.neighbors.delete(neighbor);
      assert.equal(show('ip neigh'), '');
      await assert.rejects(rt.neighbors.delete(neighbor), { code: 'ENOENT' });
      await assert.rejects(rt.neighbors.replace({ ...neighbor, index: 4711 }), { code: 'ENODEV' });
    },
  },
  {
    name: 'neighbors are listed by link and family',
    async run({ rtnetlink: rt }) {
      const [a, b] = [
        await addVxlan(rt),
        await addLink(rt, { name: 'br0', info: { kind: 'bridge' }, up: true }),
      ];
      const address = mac('02:00:00:00:00:01');
      await rt.neighbors.replace({ index: a, ip: ip('10.3.2.0'), mac: address });
      await rt.neighbors.replace({ index: a, ip: ip('fd00::2'), mac: address });
      await rt.neighbors.replace({ index: b, ip: ip('10.3.3.0'), mac: address });
      const list = async (filter: Parameters<typeof rt.neighbors.list>[0]) =>
        (await rt.neighbors.list(filter))
          .filter(({ state }) => state === 0x80)
          .map(neighbor => `${neighbor.ip} ${neighbor.mac}`)
          .sort();
      assert.deepEqual(await list({ index: a, family: 'ipv4' }), ['10.3.2.0 02:00:00:00:00:01']);
      assert.deepEqual(await list({ index: a }), ['10.3.2.0 02:00:00:00:00:01', 'fd00::2 02:00:00:00:00:01']);
      assert.deepEqual(await list({ family: 'ipv4' }), [
        '10.3.2.0 02:00:00:00:00:01',
        '10.3.3.0 02:00:00:00:00:01',
      ]);
    },
  },
  {
    name: 'a link that goes down or changes its address forgets its neighbors, and keeps its FDB',
    async run({ rtnetlink: rt, show }) {
      const index = await addVxlan(rt);
      const neighbor = { index, ip: ip('10.3.2.0'), mac: mac('02:00:00:00:00:01') };
      await rt.fdb.replace({ index, mac: neighbor.mac, destination: ip('192.168.65.4') });
      await rt.neighbors.replace(neighbor);
      await rt.links.change(index, { mac: mac('02:00:00:00:00:aa') });
      assert.equal(show('ip neigh'), '');
      await rt.neighbors.replace(neighbor);
      await rt.links.change(index, { up: false });
      assert.equal(show('ip neigh'), '');
      assert.equal(show('bridge fdb'), '02:00:00:00:00:01 dev flannel.88 dst 192.168.65.4 self permanent');
    },
  },
  {
    name: 'the last IPv4 address of a link takes neighbors and routes along, and spares IPv6 and next hops',
    async run({ rtnetlink: rt, show }) {
      const index = await addVxlan(rt);
      const address = mac('02:00:00:00:00:01');
      const own = [ip('10.3.1.0'), ip('10.8.0.1')].map(own => ({ index, ip: own, length: 32 }));
      for (const one of own) await rt.addresses.replace(one);
      await rt.neighbors.replace({ index, ip: ip('10.3.2.0'), mac: address });
      await rt.neighbors.replace({ index, ip: ip('fd00::2'), mac: address });
      await rt.nexthops.replace({
        id: 5,
        family: 'ipv4',
        gateway: ip('10.3.2.0'),
        oif: index,
        flags: ONLINK,
      });
      await rt.routes.replace({ destination: prefix('10.3.2.0/24'), oif: index });
      for (const [place, one] of own.entries()) {
        await rt.addresses.delete(one);
        assert.equal(show('ip neigh').split('\n').length, 2 - place);
      }
      assert.equal(show('ip neigh'), 'fd00::2 dev flannel.88 lladdr 02:00:00:00:00:01 PERMANENT');
      assert.equal(show('ip route'), '');
      assert.equal(show('ip nexthop'), 'id 5 via 10.3.2.0 dev flannel.88 scope link onlink');
    },
  },
  {
    name: 'an FDB entry of a vxlan link names the far end',
    async run({ rtnetlink: rt, show }) {
      const index = await addVxlan(rt);
      const entry = { index, mac: mac('02:00:00:00:00:01') };
      await rt.fdb.replace({ ...entry, destination: ip('192.168.65.4') });
      await rt.fdb.replace({ ...entry, destination: ip('192.168.65.5'), port: 8472, vni: 7 });
      assert.equal(
        show('bridge fdb'),
        '02:00:00:00:00:01 dev flannel.88 dst 192.168.65.5 port 8472 vni 7 self permanent',
      );
      const [found] = await rt.fdb.list(index);
      assert.deepEqual([`${found?.destination}`, found?.port, found?.vni], ['192.168.65.5', 8472, 7]);
      await rt.fdb.delete(entry);
      assert.equal(show('bridge fdb'), '');
      await assert.rejects(rt.fdb.delete(entry), { code: 'ENOENT' });
    },
  },
  {
    name: 'the all-zero FDB entry has many far ends',
    async run({ rtnetlink: rt, show }) {
      const index = await addVxlan(rt);
      const entry = { index, mac: mac('00:00:00:00:00:00') };
      await rt.fdb.append({ ...entry, destination: ip('192.168.65.4') });
      await rt.fdb.append({ ...entry, destination: ip('192.168.65.5') });
      await rt.fdb.append({ ...entry, destination: ip('192.168.65.5') });
      await assert.rejects(rt.fdb.replace({ ...entry, destination: ip('192.168.65.6') }), {
        code: 'ENOTSUP',
        message: /Cannot replace non-unicast fdb entries/,
      });
      await rt.fdb.delete({ ...entry, destination: ip('192.168.65.4') });
      assert.equal(show('bridge fdb'), '00:00:00:00:00:00 dev flannel.88 dst 192.168.65.5 self permanent');
    },
  },
  {
    name: 'the FDB of a bridge is that of its ports',
    async run({ rtnetlink: rt, show }) {
      const bridge = await addLink(rt, { name: 'br0', info: { kind: 'bridge' }, up: true });
      await rt.links.add({
        name: 'v0',
        info: { kind: 'veth', peer: { name: 'v1' } },
        master: bridge,
        up: true,
      });
      const index = await indexOf(rt.links, 'v0');
      const entry = { index, mac: mac('02:00:00:00:00:01'), flags: NTF_MASTER, state: NUD_NOARP };
      await rt.fdb.replace(entry);
      assert.equal(show('bridge fdb'), '02:00:00:00:00:01 dev v0 master br0 static');
      const found = (await rt.fdb.list(bridge)).find(one => one.mac.equals(entry.mac));
      assert.deepEqual([found?.index, found?.master], [index, bridge]);
      await rt.fdb.delete(entry);
      assert.equal(show('bridge fdb'), '');
    },
  },
  {
    name: 'a bridge has one entry for an address, on the port that was named last',
    async run({ rtnetlink: rt, show }) {
      const bridge = await addLink(rt, { name: 'br0', info: { kind: 'bridge' }, up: true });
      const ports: number[] = [];
      for (const name of ['v0', 'w0']) {
        const peer = { name: name.replace('0', '1') };
        await rt.links.add({ name, info: { kind: 'veth', peer }, master: bridge, up: true });
        ports.push(await indexOf(rt.links, name));
      }
      const [first = 0, second = 0] = ports;
      const entry = { mac: mac('02:00:00:00:00:01'), flags: NTF_MASTER | NTF_STICKY, state: NUD_NOARP };
      await rt.fdb.replace({ ...entry, index: first });
      await rt.fdb.replace({ ...entry, index: second });
      assert.equal(show('bridge fdb'), '02:00:00:00:00:01 dev w0 sticky master br0 static');
      await assert.rejects(rt.fdb.delete({ ...entry, index: first }), { code: 'ENOENT' });
      await rt.links.change('w0', { up: false });
      assert.equal(show('bridge fdb'), '02:00:00:00:00:01 dev w0 sticky master br0 static');
      await rt.links.change('w0', { master: 0 });
      assert.equal(show('bridge fdb'), '');
    },
  },
  {
    name: 'the table of a link that is a port has the entries of the bridge too',
    async run({ rtnetlink: rt }) {
      const bridge = await addLink(rt, { name: 'br0', info: { kind: 'bridge' }, up: true });
      const index = await addVxlan(rt);
      await rt.links.change('flannel.88', { master: bridge });
      const [own, ofBridge] = [mac('02:00:00:00:00:01'), mac('02:00:00:00:00:02')];
      await rt.fdb.replace({ index, mac: own, destination: ip('192.168.65.4') });
      await rt.fdb.replace({ index, mac: ofBridge, flags: NTF_MASTER, state: NUD_NOARP });
      const found = (await rt.fdb.list(index)).filter(one => one.mac.equals(own) || one.mac.equals(ofBridge));
      assert.deepEqual(found.map(one => [one.mac.toString(), one.master] as const).toSorted(byMac), [
        [own.toString(), undefined],
        [ofBridge.toString(), bridge],
      ]);
    },
  },
];
