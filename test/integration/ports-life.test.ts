/** Published ports over time: who gets one, what another program does to them, and an agent that comes and goes. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import type { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { readSysctl } from '../../src/sys/sysctl.ts';
import { bindTcpSocket } from '../../src/sys/tcp-socket.ts';
import { openUdpSocket } from '../../src/sys/udp-socket.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { HOST, OUTSIDE, portHosts } from '../support/port-hosts.ts';
import { askInVain, askSource } from '../support/source-server.ts';

const TCP = { protocol: 'tcp', containerPort: 80, hostPort: 8080 } as const;
const UDP = { ...TCP, protocol: 'udp' } as const;

/** Listens in the namespace until it is closed. */
async function listen(t: TestContext, netns: Netns, port: number) {
  const server = createServer().listen({
    fd: netns.run(() => bindTcpSocket(Ip.parse('0.0.0.0'), port, 1400)),
  });
  t.after(() => server.close());
  await once(server, 'listening');
  return server;
}

test('a port has one owner, and who asks for it again is told which', needsRoot, async t => {
  const { host, outside, web, other, green, open, list } = await portHosts(t);
  const ports = open();
  assert.deepEqual(await ports.publish({ ...web, mappings: [TCP] }), [TCP]);
  assert.deepEqual(await ports.publish({ ...web, mappings: [TCP] }), [TCP], 'asked for again');
  await assert.rejects(ports.publish({ ...other, mappings: [UDP, TCP] }), {
    code: 'PORT_TAKEN',
    message: 'the tcp port 8080 is taken by the container web on the network blue',
  });
  assert.deepEqual(
    await ports.publish({ ...other, mappings: [UDP] }),
    [UDP],
    'nothing of the other one stayed',
  );
  const range = { ...TCP, hostPortEnd: 8083 };
  assert.deepEqual(await ports.publish({ ...other, mappings: [range] }), [{ ...TCP, hostPort: 8081 }]);
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8081), `other ${OUTSIDE.ipv4}`);
  assert.equal(await askInVain(outside.netns, 'udp', HOST.ipv4, 8080), 'nothing', 'published otherwise');

  await listen(t, host.netns, 9000);
  await assert.rejects(ports.publish({ ...other, mappings: [{ ...TCP, hostPort: 9000 }] }), {
    code: 'PORT_TAKEN',
    message: /^the tcp port 9000 is taken by (`|another program)/,
  });
  const elsewhere = { ...TCP, hostPort: 9001, hostIp: Ip.parse('203.0.113.1') };
  await assert.rejects(ports.publish({ ...other, mappings: [elsewhere] }), {
    code: 'INVALID_WISH',
    message: '203.0.113.1 is no address of this host',
  });
  const wrong = [
    { ...TCP, hostPort: 0 },
    { ...TCP, hostIp: Ip.parse('::1') },
  ];
  await assert.rejects(ports.publish({ ...other, mappings: wrong }), {
    code: 'INVALID_WISH',
    message: /ports\[0\]\.hostPort = 0.*ports\[1\]\.hostIp/,
  });
  const dark = { ...other.network, gateways: {} };
  assert.deepEqual(await ports.publish({ ...other, network: dark, mappings: [TCP] }), [], 'internal');

  const [chosen] = await ports.publish({ ...other, mappings: [{ protocol: 'tcp', containerPort: 80 }] });
  assert.equal(
    await askSource(outside.netns, 'tcp', HOST.ipv6, chosen?.hostPort ?? 0),
    `other ${OUTSIDE.ipv6}`,
  );
  const own = [
    { ...TCP, hostPort: 8082, hostIp: Ip.parse(HOST.ipv4) },
    { ...TCP, hostPort: 8083, hostIp: Ip.parse('127.0.0.1') },
  ];
  assert.deepEqual(await ports.publish({ ...other, mappings: own }), own);
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8082), `other ${OUTSIDE.ipv4}`);
  assert.equal(await askSource(host.netns, 'tcp', '127.0.0.1', 8082), 'ECONNREFUSED');
  assert.equal(await askSource(host.netns, 'tcp', '127.0.0.1', 8083), 'other 10.88.0.1');
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8083), 'ECONNREFUSED');
  assert.deepEqual(
    ports
      .list()
      .map(({ hostPort, hostIp, address, container }) => [
        hostPort,
        `${hostIp ?? '*'}`,
        `${address}`,
        container,
      ]),
    [
      [8080, '*', '10.88.0.2', 'web'],
      [8080, '*', 'fd88::2', 'web'],
      [8082, HOST.ipv4, '10.88.0.3', 'other'],
      [8083, '127.0.0.1', '10.88.0.3', 'other'],
    ],
  );

  const ofAnotherNetwork = open('/another/network');
  await ofAnotherNetwork.restore([]);
  await ofAnotherNetwork.publish({ ...green, mappings: [{ ...TCP, hostPort: 8090 }] });
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8090), `green ${OUTSIDE.ipv4}`);
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8082), `other ${OUTSIDE.ipv4}`);
  await ofAnotherNetwork.withdraw(green.id);
  await ofAnotherNetwork.restore([]);
  assert.equal(await list('list', 'tables'), 'table inet tulle-ports\n');

  await ports.withdraw(web.id);
  await ports.withdraw(other.id);
  await ports.withdraw(other.id);
  assert.deepEqual(ports.list(), []);
  assert.equal(readSysctl('net/ipv4/conf/tb-blue/route_localnet', host.netns), '0');
  await ports.restore([]);
  assert.equal(await list('list', 'tables'), '', 'no table without ports');
});

test('datagrams go where the port leads now, whoever sends them without a pause', needsRoot, async t => {
  const { outside, web, other, open } = await portHosts(t);
  const client = createSocket('udp4');
  t.after(() => client.close());
  client.bind({ fd: outside.netns.run(() => openUdpSocket(Ip.parse(OUTSIDE.ipv4), 5555)) });
  // Handed to the kernel, which has it on the other side by then.
  const send = (text: string) =>
    new Promise<void>((resolve, reject) =>
      client.send(text, 8080, HOST.ipv4, error => (error ? reject(error) : resolve())),
    );
  let last = '';
  client.on('message', answer => {
    last = String(answer);
  });
  // Always from the same port, and so often that the kernel takes it for one connection.
  const answers = (wanted: string) =>
    eventually(`datagrams go to ${wanted}`, async () => {
      await send('who');
      return last === wanted;
    });
  const ports = open();
  client.on('error', () => undefined);
  await send('nobody listens yet');
  await ports.publish({ ...web, mappings: [UDP] });
  await answers(`web ${OUTSIDE.ipv4}`);
  await ports.withdraw(web.id);
  await send('to nobody');
  await ports.publish({ ...other, mappings: [UDP] });
  await answers(`other ${OUTSIDE.ipv4}`);
  // The same address now belongs to another container, and the same port leads elsewhere.
  await ports.publish({ ...web, mappings: [{ ...UDP, hostPort: 8081 }] });
  await ports.publish({ ...other, mappings: [{ ...UDP, hostPort: 8082 }] });
  await ports.publish({ ...web, mappings: [UDP] });
  await answers(`web ${OUTSIDE.ipv4}`);
});

test('rules that another program removes come back', needsRoot, async t => {
  const { host, outside, web, open, list } = await portHosts(t);
  const ports = open();
  await ports.restore([]);
  await ports.publish({ ...web, mappings: [TCP] });
  const stop = new AbortController();
  const running = ports.run(stop.signal);
  try {
    const works = async () => (await askSource(outside.netns, 'tcp', HOST.ipv4, 8080)).startsWith('web');
    for (const args of [
      ['flush', 'ruleset'],
      ['flush', 'chain', 'inet', 'tulle-ports', 'published-ip'],
      ['delete', 'element', 'inet', 'tulle-ports', 'ip-any', '{ tcp . 8080 }'],
    ]) {
      await run('nft', args, { namespaces: host.namespaces });
      await eventually(`after nft ${args.join(' ')}`, works);
    }
    const strange = '{ tcp . 7000 : 10.88.0.3 . 80 }';
    await run('nft', ['add', 'element', 'inet', 'tulle-ports', 'ip-any', strange], {
      namespaces: host.namespaces,
    });
    await eventually(
      'what is not stated is gone',
      async () => !(await list('list', 'ruleset')).includes('7000'),
    );
  } finally {
    stop.abort();
    await running;
  }
});

test('packets flow on without an agent, and the next one goes on with what is left', needsRoot, async t => {
  const { host, outside, web, other, green, open, warnings, list } = await portHosts(t);
  const before = open();
  await before.restore([]);
  for (const [station, hostPort] of [
    [web, 8080],
    [other, 8081],
    [green, 8082],
  ] as const)
    await before.publish({ ...station, mappings: [{ ...TCP, hostPort }] });
  const [{ since } = { since: new Date(0) }] = before.list();
  before[Symbol.dispose]();
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8080), `web ${OUTSIDE.ipv4}`);
  const thief = await listen(t, host.netns, 8080);

  const after = open();
  // The third one was detached while no agent ran.
  await after.restore([
    { ...web, mappings: [{ ...TCP, hostPort: 8080 }] },
    { ...other, mappings: [{ ...TCP, hostPort: 8081 }] },
  ]);
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8080), `web ${OUTSIDE.ipv4}`);
  assert.equal(await askSource(outside.netns, 'tcp', HOST.ipv4, 8082), 'ECONNREFUSED');
  assert.ok(!(await list('list', 'ruleset')).includes('tb-green'));
  const held = () =>
    after
      .list()
      .filter(({ address }) => address.family === 'ipv4')
      .map(({ isHeld }) => isHeld);
  assert.deepEqual(held(), [false, true]);
  assert.deepEqual(
    warnings.get('ports')?.map(({ code }) => code),
    ['PORT_SHARED'],
  );
  assert.equal(after.list()[0]?.since.getTime(), Math.floor(since.getTime() / 1000) * 1000);
  await assert.rejects(after.publish({ ...green, mappings: [{ ...TCP, hostPort: 8081 }] }), {
    code: 'PORT_TAKEN',
  });

  thief.close();
  await once(thief, 'close');
  await after.restore([]);
  assert.deepEqual(held(), [true, true]);
  assert.deepEqual(warnings.get('ports'), []);
});
