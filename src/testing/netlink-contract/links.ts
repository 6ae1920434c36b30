/** Links: what they keep, what changes, what is refused, and what goes with them. */
import assert from 'node:assert/strict';
import { isCode } from '../../base/errors.ts';
import { addLink, addVxlan, announced, indexOf, ip, mac, type NetlinkCase } from './tools.ts';

export const linkCases: readonly NetlinkCase[] = [
  {
    name: 'a new kernel has a loopback link and nothing else',
    async run({ rtnetlink }) {
      const [lo, ...others] = await rtnetlink.links.list();
      assert.deepEqual(
        { name: lo?.name, index: lo?.index, up: lo?.up, mtu: lo?.mtu, mac: `${lo?.mac}`, info: lo?.info },
        { name: 'lo', index: 1, up: true, mtu: 65536, mac: '00:00:00:00:00:00', info: undefined },
      );
      assert.deepEqual(others, []);
    },
  },
  {
    name: 'a veth pair comes and goes together',
    async run({ rtnetlink: { links } }) {
      const peer = { name: 'far', mtu: 1400, mac: mac('02:00:00:00:00:02') };
      await links.add({ name: 'near', mtu: 1300, info: { kind: 'veth', peer } });
      const [near, far] = [await links.get('near'), await links.get('far')];
      assert.equal(near?.info?.kind, 'veth');
      assert.deepEqual([near?.mtu, near?.lower, near?.up], [1300, far?.index, false]);
      assert.deepEqual([far?.mtu, far?.lower, `${far?.mac}`], [1400, near?.index, '02:00:00:00:00:02']);
      await links.delete('far');
      assert.deepEqual([await links.get('near'), await links.get('far')], [undefined, undefined]);
    },
  },
  {
    name: 'links of a group go together, and no others',
    async run({ rtnetlink: { links } }) {
      for (const name of ['one', 'two', 'other']) await links.add({ name, info: { kind: 'veth' } });
      for (const name of ['one', 'two']) await links.change(name, { group: 7, alias: 'to be deleted' });
      await links.change('other', { group: 8 });
      assert.deepEqual([(await links.get('one'))?.group, (await links.get('lo'))?.group], [7, undefined]);
      await links.deleteGroup(7);
      assert.deepEqual([await links.get('one'), await links.get('two')], [undefined, undefined]);
      assert.equal((await links.get('other'))?.group, 8);
      await assert.rejects(links.deleteGroup(7), { code: 'ENODEV' });
      await assert.rejects(links.deleteGroup(0), { code: 'EPERM' });
    },
  },
  {
    name: 'a vxlan link keeps what it was made with',
    async run({ rtnetlink }) {
      const link = await addLink(rtnetlink, { name: 'eth0', info: { kind: 'veth' }, up: true });
      const asked = {
        kind: 'vxlan',
        id: 16777215,
        link,
        local: ip('192.0.2.1'),
        group: ip('192.0.2.2'),
        port: 4789,
        portRange: { low: 1000, high: 2000 },
        learning: false,
        proxy: true,
        rsc: true,
        l2miss: true,
        l3miss: true,
        ageing: 77,
        limit: 5,
        ttl: 9,
        tos: 4,
        df: 1,
        udpCsum: false,
        udpZeroCsum6Tx: true,
        udpZeroCsum6Rx: true,
        gbp: true,
      } as const;
      await rtnetlink.links.add({ name: 'vx', info: asked });
      const info = (await rtnetlink.links.get('vx'))?.info;
      assert.ok(info?.kind === 'vxlan');
      assert.partialDeepStrictEqual(JSON.parse(JSON.stringify(info)), JSON.parse(JSON.stringify(asked)));
    },
  },
  {
    name: 'a vxlan link gets what was not asked for from the kernel',
    async run({ rtnetlink }) {
      const index = await addLink(rtnetlink, { name: 'vx', info: { kind: 'vxlan', id: 1, port: 4789 } });
      const link = await rtnetlink.links.get(index);
      assert.ok(link?.info?.kind === 'vxlan');
      const { learning, ageing, ttl, collectMetadata, local, gbp } = link.info;
      assert.deepEqual(
        { learning, ageing, ttl, collectMetadata, local, gbp },
        { learning: true, ageing: 300, ttl: 0, collectMetadata: false, local: undefined, gbp: undefined },
      );
    },
  },
  {
    name: 'a vxlan link over IPv6 has IPv6 ends',
    async run({ rtnetlink: { links } }) {
      await links.add({
        name: 'vx',
        info: { kind: 'vxlan', id: 1, port: 4789, local: ip('fd00::1'), group: ip('fd00::2') },
      });
      const info = (await links.get('vx'))?.info;
      assert.ok(info?.kind === 'vxlan');
      assert.deepEqual([`${info.local}`, `${info.group}`], ['fd00::1', 'fd00::2']);
    },
  },
  {
    name: 'a link changes in what the request names, and keeps the rest',
    async run({ rtnetlink: { links } }) {
      await links.add({ name: 'br0', info: { kind: 'bridge' } });
      const master = await indexOf(links, 'br0');
      await links.add({ name: 'v0', mtu: 1400, info: { kind: 'veth', peer: { name: 'v1' } } });
      await links.change('v0', { mac: mac('02:00:00:00:00:01'), alias: 'container', master, up: true });
      await links.change('v1', { up: true });
      const v0 = await links.get('v0');
      assert.deepEqual(
        [`${v0?.mac}`, v0?.alias, v0?.master, v0?.up, v0?.running, v0?.mtu],
        ['02:00:00:00:00:01', 'container', master, true, true, 1400],
      );
      await links.change('v0', { name: 'renamed', master: 0 });
      const renamed = await links.get(v0?.index ?? 0);
      assert.deepEqual([renamed?.name, renamed?.master, renamed?.alias], ['renamed', undefined, 'container']);
      assert.equal(await links.get('v0'), undefined);
    },
  },
  {
    name: 'a bridge is made with its options',
    async run({ rtnetlink: { links } }) {
      await links.add({ name: 'br0', info: { kind: 'bridge', multicastSnooping: false, ageingTime: 1000 } });
      const info = (await links.get('br0'))?.info;
      assert.ok(info?.kind === 'bridge');
      assert.deepEqual([info.multicastSnooping, info.ageingTime], [false, 1000]);
    },
  },
  {
    name: 'a macvlan link stands on another one, in a mode',
    async run({ rtnetlink: { links } }) {
      await links.add({ name: 'eth0', info: { kind: 'veth' } });
      const lower = await indexOf(links, 'eth0');
      await links.add({ name: 'mv0', lower, info: { kind: 'macvlan', mode: 'bridge' } });
      const link = await links.get('mv0');
      assert.ok(link?.info?.kind === 'macvlan');
      assert.deepEqual([link.info.mode, link.lower], ['bridge', lower]);
    },
  },
  {
    name: 'a vxlan link that leaves the far end to others needs no VNI',
    async run({ rtnetlink: { links } }) {
      await links.add({ name: 'vx', info: { kind: 'vxlan', collectMetadata: true, port: 4789, id: 0 } });
      const info = (await links.get('vx'))?.info;
      assert.ok(info?.kind === 'vxlan');
      assert.deepEqual([info.collectMetadata, info.id, info.group], [true, 0, undefined]);
    },
  },
  {
    name: 'a new link can be a port of a bridge at once',
    async run({ rtnetlink }) {
      const master = await addLink(rtnetlink, { name: 'br0', info: { kind: 'bridge' } });
      await rtnetlink.links.add({ name: 'v0', info: { kind: 'veth', peer: { name: 'v1' } }, master });
      await rtnetlink.links.add({ name: 'vx', info: { kind: 'vxlan', id: 7, port: 4789 }, master });
      const links = await rtnetlink.links.list();
      assert.deepEqual(
        links.filter(link => link.master === master).map(({ name }) => name),
        ['v0', 'vx'],
      );
    },
  },
  {
    name: 'an ipip or wireguard link keeps what it was made with, where the kernel has such links',
    async run({ rtnetlink: { links } }) {
      const asked = [
        { kind: 'ipip', local: ip('192.0.2.1'), remote: ip('192.0.2.2'), ttl: 64, pmtuDiscovery: true },
        { kind: 'wireguard' },
      ] as const;
      for (const info of asked) {
        try {
          await links.add({ name: 'tunnel', info });
        } catch (error) {
          if (!isCode(error, 'ENOTSUP')) throw error;
          continue;
        }
        const found = (await links.get('tunnel'))?.info;
        assert.partialDeepStrictEqual(JSON.parse(JSON.stringify(found)), JSON.parse(JSON.stringify(info)));
        await links.delete('tunnel');
      }
    },
  },
  {
    name: 'a living vxlan link changes what can be changed',
    async run({ rtnetlink }) {
      const index = await addVxlan(rtnetlink);
      await rtnetlink.links.change(index, {
        info: { kind: 'vxlan', learning: true, local: ip('192.0.2.9') },
      });
      const info = (await rtnetlink.links.get(index))?.info;
      assert.ok(info?.kind === 'vxlan');
      assert.deepEqual([info.learning, `${info.local}`, info.id], [true, '192.0.2.9', 88]);
      await assert.rejects(rtnetlink.links.change(index, { info: { kind: 'vxlan', id: 89 } }), {
        code: 'ENOTSUP',
        op: 'RTM_NEWLINK',
        message: /Cannot change VNI/,
      });
    },
  },
  {
    name: 'what cannot be is refused',
    async run({ rtnetlink }) {
      const { links } = rtnetlink;
      await addVxlan(rtnetlink);
      await assert.rejects(links.add({ name: 'flannel.88', info: { kind: 'bridge' } }), { code: 'EEXIST' });
      await assert.rejects(links.add({ name: 'vx', info: { kind: 'vxlan', id: 88, port: 4789 } }), {
        code: 'EEXIST',
        message: /A VXLAN device with the specified VNI already exists/,
      });
      await assert.rejects(links.change('nope', { up: true }), { code: 'ENODEV' });
      await assert.rejects(links.delete('nope'), { code: 'ENODEV' });
      await assert.rejects(links.delete('lo'), { code: 'ENOTSUP' });
      await assert.rejects(links.change('flannel.88', { master: 1 }), { code: 'ENOTSUP' });
      assert.equal(await links.get('nope'), undefined);
      assert.equal(await links.get('a-name-longer-than-the-kernel-takes'), undefined);
      assert.equal(await links.get(4711), undefined);
    },
  },
  {
    name: 'a vxlan link goes with the link it stands on',
    async run({ rtnetlink: { links } }) {
      await links.add({ name: 'eth0', info: { kind: 'veth' }, up: true });
      const link = await indexOf(links, 'eth0');
      await links.add({ name: 'vx', info: { kind: 'vxlan', id: 5, port: 4789, link } });
      await links.delete('eth0');
      assert.equal(await links.get('vx'), undefined);
    },
  },
  {
    name: 'a port of a bridge is treated as its bridge was asked to',
    async run({ rtnetlink }) {
      const { links } = rtnetlink;
      const index = await addVxlan(rtnetlink);
      await assert.rejects(links.change('flannel.88', { port: { learning: false } }), { code: 'ENOTSUP' });
      const master = await addLink(rtnetlink, { name: 'br0', info: { kind: 'bridge' } });
      await links.change('flannel.88', { master });
      const usual = {
        state: 0,
        hairpin: false,
        learning: true,
        unicastFlood: true,
        multicastFlood: true,
        broadcastFlood: true,
        neighborSuppression: false,
        isolated: false,
        locked: false,
      };
      assert.deepEqual((await links.get('flannel.88'))?.port, usual);
      const port = { learning: false, neighborSuppression: true, multicastFlood: false, isolated: true };
      const words = await announced(
        rtnetlink,
        ['link'],
        () => links.change('flannel.88', { port }),
        event => (event.type === 'port' && event.index === index ? JSON.stringify(event.port) : undefined),
      );
      assert.deepEqual((await links.get('flannel.88'))?.port, { ...usual, ...port });
      assert.deepEqual(JSON.parse(words.at(-1) ?? '{}'), { ...usual, ...port });
      await links.change('flannel.88', { master: 0 });
      assert.equal((await links.get('flannel.88'))?.port, undefined);
    },
  },
];
