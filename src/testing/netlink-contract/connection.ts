/** Batches, many callers at once, announcements, and the end of a connection. */
import assert from 'node:assert/strict';
import { change } from '../../netlink/route/change.ts';
import type { KernelEvent } from '../../netlink/route/rtnetlink.ts';
import { addLink, addVxlan, announced, ip, mac, type NetlinkCase, ONLINK, prefix } from './tools.ts';

/** `route+` or `route-`, and what it is about; undefined for what the kernel does by itself. */
function describe(event: KernelEvent): string | undefined {
  switch (event.type) {
    case 'link':
      return `link${event.gone ? '-' : '+'} ${event.link.name}`;
    case 'address':
      return `address${event.gone ? '-' : '+'} ${event.address.ip}`;
    case 'route':
      return event.route.table === 254
        ? `route${event.gone ? '-' : '+'} ${event.route.destination}`
        : undefined;
    case 'nexthop':
      return `nexthop${event.gone ? '-' : '+'} ${event.nexthop.id}`;
    case 'neighbor':
      return `neighbor${event.gone ? '-' : '+'} ${event.neighbor.ip} ${event.neighbor.mac}`;
    case 'fdb':
      return `fdb${event.gone ? '-' : '+'} ${event.entry.mac} ${event.entry.destination}`;
    case 'rule':
      return `rule${event.gone ? '-' : '+'} ${event.rule.priority}`;
    case 'port':
    case 'netconf':
    case 'traffic':
      return undefined;
    case 'overrun':
    case 'idle':
      return event.type;
  }
}

export const connectionCases: readonly NetlinkCase[] = [
  {
    name: 'a batch is done in order; what is refused stops nothing, and every result has its place',
    async run({ rtnetlink: rt }) {
      const index = await addVxlan(rt);
      const before = rt.writes;
      const changes = Array.from({ length: 1000 }, (_, number) => {
        const destination = prefix(`10.${number >> 8}.${number & 255}.0/24`);
        const good = { destination, oif: index, protocol: 77 };
        return change.replaceRoute(number % 100 === 7 ? { ...good, oif: 4711 } : good);
      });
      const results = await rt.apply(changes);
      assert.equal(results.length, 1000);
      assert.deepEqual(
        results.flatMap((error, number) => (error === undefined ? [] : [`${number} ${error.code}`])),
        Array.from({ length: 10 }, (_, hundred) => `${hundred * 100 + 7} ENODEV`),
      );
      assert.equal(results[107]?.message.startsWith('replace route 10.0.107.0/24: '), true);
      assert.equal((await rt.routes.list({ protocol: 77 })).length, 990);
      assert.equal(rt.writes - before, 1000);
      assert.deepEqual(await rt.apply([]), []);
    },
  },
  {
    name: 'requests of many callers do not mix',
    async run({ rtnetlink: rt }) {
      const index = await addVxlan(rt);
      const all = await Promise.all([
        rt.routes.replace({ destination: prefix('10.1.0.0/16'), oif: index }),
        rt.links.get('flannel.88'),
        rt.links.get('nope'),
        rt.routes.list({ table: 4711 }),
        rt.links.list(),
        rt.routes.list({ oif: index, table: 254, family: 'ipv4' }),
      ]);
      assert.deepEqual(
        [
          all[1]?.name,
          all[2],
          all[3],
          all[4].map(({ name }) => name),
          all[5].map(route => `${route.destination}`),
        ],
        ['flannel.88', undefined, [], ['lo', 'flannel.88'], ['10.1.0.0/16']],
      );
    },
  },
  {
    name: 'what changes is announced, each kind to those who asked for it',
    async run({ rtnetlink: rt }) {
      const index = await addVxlan(rt);
      const address = { index, ip: ip('10.3.1.0'), length: 32 };
      const neighbor = { index, ip: ip('10.3.2.0'), mac: mac('02:00:00:00:00:01') };
      const entry = { index, mac: neighbor.mac, destination: ip('192.168.65.4') };
      const nexthop = { id: 5, family: 'ipv4', gateway: neighbor.ip, oif: index, flags: ONLINK } as const;
      const route = { destination: prefix('10.3.2.0/24'), nexthopId: 5 };
      const rule = { family: 'ipv4', priority: 100, table: 1000 } as const;
      const cause = () =>
        rt.apply([
          change.replaceAddress(address),
          change.replaceNeighbor(neighbor),
          change.replaceFdb(entry),
          change.replaceNexthop(nexthop),
          change.replaceRoute(route),
          change.addRule(rule),
          change.deleteRule(rule),
          change.deleteRoute(route),
          change.deleteNexthop(5),
          change.deleteFdb(entry),
          change.deleteAddress(address),
        ]);
      assert.deepEqual(
        await announced(rt, ['address', 'neighbor', 'nexthop', 'route', 'rule'], cause, describe),
        [
          'address+ 10.3.1.0',
          'neighbor+ 10.3.2.0 02:00:00:00:00:01',
          'fdb+ 02:00:00:00:00:01 192.168.65.4',
          'nexthop+ 5',
          'route+ 10.3.2.0/24',
          'rule+ 100',
          'rule- 100',
          'route- 10.3.2.0/24',
          'nexthop- 5',
          'fdb- 02:00:00:00:00:01 192.168.65.4',
          'address- 10.3.1.0',
          // With the last address of its link.
          'neighbor- 10.3.2.0 02:00:00:00:00:01',
        ],
      );
      assert.deepEqual(await announced(rt, ['nexthop'], cause, describe), ['nexthop+ 5', 'nexthop- 5']);
    },
  },
  {
    name: 'a deleted link is announced, its next hops and IPv4 routes are not',
    async run({ rtnetlink: rt }) {
      const index = await addVxlan(rt);
      await rt.nexthops.replace({
        id: 5,
        family: 'ipv4',
        gateway: ip('10.3.2.0'),
        oif: index,
        flags: ONLINK,
      });
      await rt.routes.replace({ destination: prefix('10.3.2.0/24'), nexthopId: 5 });
      const words = await announced(
        rt,
        ['link', 'nexthop', 'route'],
        () => rt.links.delete(index),
        event => (event.type === 'link' && !event.gone ? undefined : describe(event)),
      );
      assert.deepEqual(
        words.filter(word => !word.includes(':')),
        ['link- flannel.88'],
      );
    },
  },
  {
    name: 'a port that leaves its bridge is no link that is gone',
    async run({ rtnetlink: rt }) {
      const master = await addLink(rt, { name: 'br0', info: { kind: 'bridge' }, up: true });
      const words = await announced(
        rt,
        ['link'],
        async () => {
          await rt.links.add({ name: 'v0', info: { kind: 'veth', peer: { name: 'v1' } }, master });
          await rt.links.change('v0', { master: 0 });
          await rt.links.delete('v0');
        },
        event => (event.type === 'link' && event.gone ? event.link.name : undefined),
      );
      assert.deepEqual(words.sort(), ['v0', 'v1']);
    },
  },
  {
    name: 'a watch can leave away what the connection itself has caused, but for FDB entries',
    async run({ rtnetlink: rt }) {
      const index = await addVxlan(rt);
      const stop = new AbortController();
      const events = rt.watch(['neighbor', 'nexthop', 'route'], stop.signal, { exceptOwn: true });
      const gateway = ip('10.3.2.0');
      const address = mac('02:00:00:00:00:01');
      const results = await rt.apply([
        change.addNexthop({ id: 5, family: 'ipv4', gateway, oif: index, flags: ONLINK }),
        change.addRoute({ destination: prefix('10.3.2.0/24'), nexthopId: 5 }),
        change.replaceNeighbor({ index, ip: gateway, mac: address }),
        change.replaceFdb({ index, mac: address, destination: ip('192.168.65.4') }),
        change.deleteRoute({ destination: prefix('10.3.2.0/24') }),
      ]);
      assert.ok(results.every(error => error === undefined));
      const seen: string[] = [];
      for await (const event of events) {
        seen.push(describe(event) ?? event.type);
        if (event.type === 'idle' && seen.length > 1) break;
      }
      stop.abort();
      assert.deepEqual(
        seen.filter(word => /fdb|neighbor\S 10\.|nexthop|route/.test(word)),
        ['fdb+ 02:00:00:00:00:01 192.168.65.4'],
      );
    },
  },
  {
    name: 'a watch ends when it is aborted, also when nothing reads it yet',
    async run({ rtnetlink: rt }) {
      const stop = new AbortController();
      const seen: string[] = [];
      rt.watch(['link'], stop.signal);
      const listening = (async () => {
        for await (const event of rt.watch(['link'], stop.signal)) seen.push(event.type);
      })();
      await addVxlan(rt);
      stop.abort();
      await listening;
      assert.ok(seen.every(type => type === 'link' || type === 'idle'));
    },
  },
  {
    name: 'a closed connection refuses work and ends its watches',
    async run({ rtnetlink: rt }) {
      const events = rt.watch(['link'], new AbortController().signal);
      const listening = (async () => {
        for await (const event of events) assert.equal(event.type, 'idle');
      })();
      await rt[Symbol.asyncDispose]();
      await listening;
      await assert.rejects(rt.links.list(), { code: 'EBADF' });
    },
  },
];
