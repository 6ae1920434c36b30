import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import * as v from 'valibot';
import { RESULT_SHAPES } from '../../../test/support/cni-runtime.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { recordingLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import { AttachmentError } from '../../network/attachment/attachments.ts';
import { FAKE_OVERLAY, FakeAttachments } from '../../testing/network/fake-attachments.ts';
import { CniPlugin } from './cni-plugin.ts';
import { CniReservations } from './cni-reservations.ts';
import { attachmentIdOf } from './container-id.ts';

const HOST = 'net:[1]';
const CONTAINER = 'net:[2]';

const BLUE = {
  ...FAKE_OVERLAY,
  name: 'blue',
  kind: 'segment',
  subnets: { ipv4: Prefix.parse('10.9.0.0/16'), ipv6: Prefix.parse('fd00:9::/64') },
  networks: { ipv4: Prefix.parse('10.9.0.0/16'), ipv6: Prefix.parse('fd00:9::/64') },
  gateways: { ipv4: Ip.parse('10.9.0.1'), ipv6: Ip.parse('fd00:9::1') },
  bridge: 'tb-blue',
} as const;

let attachments: FakeAttachments;
/** Links in the namespace of the container. */
let links: Set<string>;
/** That other networks of the container have made. */
let defaultRoutes: readonly Family[];
let resolver: Ip | undefined;
let directory: string;
let reservations: CniReservations;
let plugin: CniPlugin;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tt-cni-'));
  reservations = CniReservations.open(directory, assert.fail);

  attachments = new FakeAttachments([FAKE_OVERLAY, BLUE]);
  links = new Set();
  defaultRoutes = [];
  resolver = undefined;
  plugin = new CniPlugin({
    attachments,
    get resolver() {
      return resolver;
    },
    logger: recordingLogger(),
    reservations,
    assertSameHost: () => undefined,
    contentOf: async (_, name) => ({ hasLink: links.has(name), defaultRoutes }),
  });
});

afterEach(() => rmSync(directory, { recursive: true }));

const ENV = { CNI_CONTAINERID: 'c1', CNI_IFNAME: 'eth0', CNI_NETNS: '/run/netns/c1' };

interface Refused {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
}

async function call(command: string, config: object, env: Record<string, string> = {}, type = 'tulle') {
  const { status, stdout } = await plugin.handle({
    type,
    env: { ...ENV, CNI_COMMAND: command, ...env },
    own: HOST,
    sandbox: CONTAINER,
    sandboxPath: '/proc/7/fd/20',
    config: JSON.stringify({ cniVersion: '1.0.0', name: 'net', type: 'tulle', ...config }),
  });
  const answer: unknown = stdout === '' ? undefined : JSON.parse(stdout);
  return { status, answer, refused: answer as Refused };
}

const id = attachmentIdOf('net', 'c1', 'eth0');

describe('ADD', () => {
  test('attaches to the overlay, and says so in the shape of each version', async () => {
    for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const) {
      const { status, answer } = await call('ADD', { cniVersion: version });
      assert.equal(status, 0);
      const result = v.parse(RESULT_SHAPES[version], answer);
      assert.deepEqual(result.interfaces?.at(-1)?.sandbox, '/run/netns/c1');
      assert.equal(result.ips[0]?.interface, 2);
      assert.equal(result.ips[0]?.gateway, '10.3.4.1');
      assert.match(result.ips[0]?.address ?? '', /^10\.3\.4\.\d+\/24$/);
      assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0', gw: '10.3.4.1' }]);
      await call('DEL', { cniVersion: version });
    }
    assert.deepEqual(attachments.held('default'), []);
  });

  test('takes what the runtime asks for: addresses, MAC, names, ports', async () => {
    const runtimeConfig = {
      ips: ['10.9.0.7/16', 'fd00:9::7'],
      mac: '02:00:00:00:00:07',
      aliases: { net: ['db', 'database'], other: ['no'] },
      portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'TCP', hostIP: '' }],
      dns: { servers: ['192.0.2.53'], searches: ['example.org'] },
    };
    const { answer, status } = await call(
      'ADD',
      { network: 'blue', runtimeConfig, keep: true },
      { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=web;MORE=a=b' },
    );
    assert.equal(status, 0);
    const { dns, ips } = v.parse(RESULT_SHAPES['1.0.0'], answer);
    assert.deepEqual(
      ips.map(({ address }) => address),
      ['10.9.0.7/16', 'fd00:9::7/64'],
    );
    assert.deepEqual(dns, { nameservers: ['192.0.2.53'], search: ['example.org'] });
    const made = attachments.get(id);
    assert.equal(made?.container, 'web');
    assert.equal(`${made?.mac}`, '02:00:00:00:00:07');
    assert.deepEqual(made?.names, ['db', 'database']);
    const port = { protocol: 'tcp', containerPort: 80, hostPort: 8080, isHeldByEngine: true };
    assert.deepEqual(made?.ports, [port], 'podman listens there itself');
  });

  test('names the resolver of the agent where nothing else is configured', async () => {
    resolver = Ip.parse('169.254.53.53');
    const { answer } = await call('ADD', { network: 'blue' });
    assert.deepEqual(v.parse(RESULT_SHAPES['1.0.0'], answer).dns, {
      nameservers: ['169.254.53.53'],
      domain: 'blue.tulle',
      search: ['blue.tulle'],
    });
  });

  test("lists no default route that is another network's", async () => {
    const routesOf = async (config: object) => {
      const { answer } = await call('ADD', config);
      await call('DEL', config);
      return v.parse(RESULT_SHAPES['1.0.0'], answer).routes;
    };
    defaultRoutes = ['ipv4'];
    assert.deepEqual(await routesOf({}), [{ dst: '10.3.0.0/16', gw: '10.3.4.1' }], 'the overlay is reached');
    const [way, ...others] = (await routesOf({ network: 'blue' })) ?? [];
    assert.deepEqual([way?.dst, others], ['::/0', []]);
  });

  test('passes on what came before it in the list', async () => {
    const prevResult = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'other0', sandbox: '/run/netns/c1' }],
      ips: [{ address: '192.0.2.2/24', interface: 0 }],
      routes: [{ dst: '0.0.0.0/0', gw: '192.0.2.1' }],
      dns: { domain: 'example.org' },
    };
    const { answer } = await call('ADD', { prevResult });
    const result = v.parse(RESULT_SHAPES['1.0.0'], answer);
    assert.equal(result.interfaces?.length, 4);
    assert.deepEqual(result.ips[0], { address: '192.0.2.2/24', interface: 0 });
    assert.equal(result.ips[1]?.interface, 3);
    assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0', gw: '192.0.2.1' }]);
    assert.equal(result.dns?.['domain'], 'example.org');
  });

  test('refuses a link that is there, and replaces what a container of this id has left', async () => {
    await call('ADD', {});
    links.add('eth0');
    assert.equal((await call('ADD', {})).refused.code, 101);
    assert.equal(attachments.held('default').length, 1);
    links.clear();
    assert.equal((await call('ADD', {})).status, 0);
    assert.equal(attachments.held('default').length, 1);
  });

  test('leaves nothing behind when it fails, wherever it does', async () => {
    for (const step of ['ensure', 'reserve', 'attach', 'describe'] as const) {
      attachments.failures[step] = new AttachmentError('PORT_TAKEN', 'port 80 is taken');
      const { refused } = await call('ADD', { network: 'blue', runtimeConfig: { aliases: ['a'] } });
      assert.deepEqual([step, refused.code, refused.msg], [step, 104, 'port 80 is taken']);
      assert.deepEqual([...attachments.list(), ...attachments.held('blue')], []);
    }
  });

  test('says that it may be tried again where the network is not there yet', async () => {
    const { refused } = await call('ADD', { network: 'green' });
    assert.equal(refused.code, 11);
    assert.match(refused.msg, /no network "green" yet/);
  });

  test("refuses the host's own namespace", async () => {
    const of = {
      type: 'tulle',
      env: { ...ENV, CNI_COMMAND: 'ADD' },
      own: HOST,
      sandboxPath: '/proc/7/fd/20',
    };
    const config = JSON.stringify({ cniVersion: '1.0.0', name: 'net', type: 'tulle' });
    const own = await plugin.handle({ ...of, config, sandbox: HOST });
    assert.match(own.stdout, /"code":8,.*namespace of the host itself/);
    const { sandboxPath: _, ...without } = of;
    const gone = await plugin.handle({ ...without, config });
    assert.match(gone.stdout, /"code":8,.*cannot be opened/);
  });
});

test('all that is wrong with the environment, or with the configuration, is said at once', async () => {
  const bad = { CNI_CONTAINERID: '-x', CNI_IFNAME: 'a/b', CNI_NETNS: '', CNI_ARGS: 'IP' };
  const { refused } = await call('ADD', {}, bad);
  assert.equal(refused.code, 4);
  for (const name of Object.keys(bad)) assert.match(refused.msg, new RegExp(name));
  assert.equal((await call('PLAY', {})).refused.code, 4);

  const config = {
    newtork: 'blue',
    bridge: 'cni0',
    keep: 'yes',
    ipam: { type: 'host-local' },
    'cni.dev/anything': 1,
    runtimeConfig: { ips: ['10.9.0'], mac: 'ff:ff:ff:ff:ff:ff', portMappings: [{ containerPort: 0 }] },
  };
  const wrong = await call('ADD', config);
  assert.equal(wrong.refused.code, 7);
  for (const part of [/newtork.*did you mean network\?/, /bridge/, /keep/, /ipam/, /containerPort/]) {
    assert.match(wrong.refused.msg, part);
  }
  assert.doesNotMatch(wrong.refused.msg, /anything/);
  const values = { ...config.runtimeConfig, portMappings: [{ containerPort: 1, protocol: 'gre' }] };
  const { msg } = (await call('ADD', { runtimeConfig: values })).refused;
  for (const part of [/ips = "10\.9\.0"/, /mac = "ff/, /portMappings\.0\.protocol = "gre"/])
    assert.match(msg, part);
  assert.equal((await call('ADD', { cniVersion: '0.2.0' })).refused.code, 1);
  assert.equal((await call('CHECK', { cniVersion: '0.3.1' })).refused.code, 1);
  assert.equal((await call('GC', {})).refused.code, 1);
});

test('DEL succeeds in every state, also with a configuration that is refused by now', async () => {
  assert.equal((await call('DEL', {})).status, 0);
  await call('ADD', {});
  const wrong = { newtork: 'x' };
  assert.deepEqual(await call('DEL', wrong, { CNI_NETNS: '' }), {
    status: 0,
    answer: undefined,
    refused: undefined,
  });
  assert.equal((await call('DEL', wrong, { CNI_NETNS: '' })).status, 0);
  assert.deepEqual([...attachments.list(), ...attachments.held('default')], []);
});

test('CHECK finds what differs from what was made, and from what the runtime remembers', async () => {
  const { answer: prevResult } = await call('ADD', {});
  assert.equal((await call('CHECK', { prevResult })).status, 0);
  attachments.drift.set(id, ['the link is down']);
  const drifted = await call('CHECK', { prevResult });
  assert.deepEqual([drifted.refused.code, drifted.refused.msg], [105, 'the link is down']);
  attachments.drift.clear();
  const other = await call('CHECK', { prevResult: { interfaces: [], ips: [{ address: '10.3.4.99/24' }] } });
  assert.match(other.refused.msg, /no interface eth0; prevResult does not have the address 10\.3\.4\./);
  assert.match((await call('CHECK', {})).refused.msg, /prevResult is missing/);
  await call('DEL', {});
  assert.equal((await call('CHECK', { prevResult })).refused.code, 3);
});

test('GC removes what is not listed, of its own configuration, and goes on when something fails', async () => {
  for (const container of ['c1', 'c2', 'c3']) await call('ADD', {}, { CNI_CONTAINERID: container });
  await call('ADD', { name: 'other' }, { CNI_CONTAINERID: 'c4' });
  const valid = { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [{ containerID: 'c2', ifname: 'eth0' }] };
  attachments.failures.detach = new AttachmentError('NOT_READY', 'once');
  const first = await call('GC', valid);
  assert.deepEqual([first.status, first.refused.code, first.refused.msg], [1, 100, 'once']);
  assert.equal((await call('GC', valid)).status, 0);
  assert.deepEqual(
    attachments.list().map(one => one.container),
    ['c2', 'c4'],
  );
  assert.equal(attachments.held('default').length, 2);
  assert.equal((await call('GC', { cniVersion: '1.1.0' })).refused.code, 7);
});

test('STATUS says whether there is a network to be attached to', async () => {
  assert.equal((await call('STATUS', { cniVersion: '1.1.0' })).status, 0);
  assert.equal((await call('STATUS', { cniVersion: '1.1.0', network: 'green' })).refused.code, 50);
});

test('a DEL that comes while an ADD is still made waits for it', async () => {
  const [added, deleted] = await Promise.all([call('ADD', {}), call('DEL', {})]);
  assert.deepEqual([added.status, deleted.status], [0, 0]);
  assert.deepEqual([...attachments.list(), ...attachments.held('default')], []);
});

describe('tulle-ipam', () => {
  const BRIDGE = { type: 'bridge', bridge: 'cni0', isGateway: true, ipam: { type: 'tulle-ipam' } };
  const delegate = (command: string, config: object = {}, env = {}) =>
    call(command, { ...BRIDGE, ...config }, env, 'tulle-ipam');

  test('gives an address without a link, and takes it back once', async () => {
    for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const) {
      const { answer } = await delegate('ADD', { cniVersion: version });
      const { interfaces, ips, routes } = v.parse(RESULT_SHAPES[version], answer);
      assert.equal(interfaces, undefined);
      assert.match(`${ips[0]?.address} ${ips[0]?.gateway}`, /^10\.3\.4\.\d+\/24 10\.3\.4\.1$/);
      assert.deepEqual(routes, [{ dst: '0.0.0.0/0', gw: '10.3.4.1' }]);
      assert.equal(attachments.held('default').length, 1);
      assert.equal((await delegate('DEL', { cniVersion: version }, { CNI_NETNS: '' })).status, 0);
      assert.equal((await delegate('DEL', { cniVersion: version }, { CNI_NETNS: '' })).status, 0);
    }
    assert.deepEqual([...attachments.list(), ...attachments.held('default')], []);
  });

  test('knows after a restart what it has given, and passes over what it has not written', async () => {
    const { answer: prevResult } = await delegate('ADD');
    assert.equal((await delegate('CHECK', { prevResult })).status, 0);
    const wrong = join(directory, `${'0'.repeat(64)}.json`);
    writeFileSync(wrong, '{"id":"x","network":"default","ips":["nothing"]}');
    const damaged: string[] = [];
    const again = CniReservations.open(directory, path => damaged.push(path));
    assert.deepEqual(again.list(), reservations.list());
    assert.deepEqual(damaged, [wrong]);
    assert.match(
      (await delegate('CHECK', { prevResult: { ips: [] } })).refused.msg,
      /does not have the address/,
    );
    await delegate('DEL');
    assert.equal((await delegate('CHECK', { prevResult })).refused.code, 3);
    assert.deepEqual(CniReservations.open(directory, () => undefined).list(), []);
  });

  test('collects what is not listed, and reads its keys below ipam', async () => {
    for (const container of ['c1', 'c2']) await delegate('ADD', {}, { CNI_CONTAINERID: container });
    const valid = {
      cniVersion: '1.1.0',
      'cni.dev/valid-attachments': [{ containerID: 'c2', ifname: 'eth0' }],
    };
    assert.equal((await delegate('GC', valid)).status, 0);
    assert.equal(attachments.held('default').length, 1);
    const typo = { type: 'tulle-ipam', rnages: [] };
    assert.match((await delegate('ADD', { ipam: typo })).refused.msg, /ipam\.rnages: is not known/);
    const l2 = { type: 'tulle-ipam', network: 'blue' };
    assert.match((await delegate('ADD', { ipam: l2 })).refused.msg, /blue is an L2 network/);
  });
});
