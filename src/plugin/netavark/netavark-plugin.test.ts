import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { recordingLogger } from '../../base/log.ts';
import { AttachmentError } from '../../network/attachment/attachments.ts';
import { FakeAttachments } from '../../testing/network/fake-attachments.ts';
import { NetavarkPlugin } from './netavark-plugin.ts';

let attachments: FakeAttachments;
let links: Set<string>;
let resolver: Ip | undefined;
let plugin: NetavarkPlugin;
beforeEach(() => {
  attachments = new FakeAttachments();
  links = new Set();
  resolver = undefined;
  plugin = new NetavarkPlugin({
    attachments,
    get resolver() {
      return resolver;
    },
    logger: recordingLogger(),
    assertSameHost: () => undefined,
    contentOf: async (_, name) => ({ hasLink: links.has(name), defaultRoutes: [] }),
  });
});

async function call(command: 'create' | 'setup' | 'teardown', input: object) {
  const place = { own: 'net:[1]', sandbox: 'net:[2]', sandboxPath: '/proc/7/fd/20', netns: '/run/netns/c1' };
  const { status, stdout } = await plugin.handle({ ...place, command, config: JSON.stringify(input) });
  return { status, answer: stdout === '' ? undefined : (JSON.parse(stdout) as Record<string, unknown>) };
}

/** As podman 4.6 sends it, which has every member. */
const BLUE = {
  name: 'blue',
  id: '2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9',
  driver: 'tulle',
  network_interface: 'podman1',
  created: '2026-11-30T03:00:00Z',
  ipv6_enabled: false,
  internal: false,
  dns_enabled: false,
  ipam_options: { driver: 'host-local' },
};

const container = (network: object, options: object = {}, more: object = {}) => ({
  container_id: '752947ff91f961eb3cb47ffe9315016979f3ffbec09e4d96a4fae3fb03391697',
  container_name: 'web',
  port_mappings: [],
  network,
  network_options: { aliases: ['752947ff91f9'], interface_name: 'eth0', static_ips: null, ...options },
  ...more,
});

test('create makes the network of that name, and keeps what podman has said of it', async () => {
  const { status, answer } = await call('create', {
    ...BLUE,
    subnets: [{ subnet: '10.9.0.0/16' }],
    labels: { a: 'b' },
  });
  assert.equal(status, 0);
  assert.deepEqual(answer, {
    ...BLUE,
    labels: { a: 'b' },
    network_interface: 'tb-blue',
    subnets: [{ subnet: '10.9.0.0/16', gateway: '10.9.0.1' }],
    options: { 'tulle.network': 'blue' },
  });
  const other = await call('create', { ...BLUE, subnets: [{ subnet: '10.8.0.0/16' }] });
  assert.equal(other.status, 1);
  assert.match(String(other.answer?.['error']), /blue is another one/);
  const overlay = await call('create', { ...BLUE, name: 'x', options: { 'tulle.network': 'default' } });
  assert.deepEqual(overlay.answer?.['subnets'], [{ subnet: '10.3.4.0/24', gateway: '10.3.4.1' }]);
});

test('setup attaches, and teardown leaves nothing, as often as it is asked for', async () => {
  resolver = Ip.parse('169.254.53.53');
  const { answer: network = {} } = await call('create', { ...BLUE, subnets: [{ subnet: '10.9.0.0/16' }] });
  const ports = [
    { container_port: 80, host_ip: '', host_port: 8080, protocol: 'tcp,udp', range: 2 },
    { container_port: 53, host_ip: '127.0.0.1', host_port: 5353, protocol: 'udp', range: 1 },
  ];
  const options = { static_ips: ['10.9.0.50'], static_mac: '02:00:00:00:00:50' };
  const { status, answer } = await call('setup', container(network, options, { port_mappings: ports }));
  assert.deepEqual(
    [status, answer],
    [
      0,
      {
        dns_search_domains: ['blue.tulle'],
        dns_server_ips: ['169.254.53.53'],
        interfaces: {
          eth0: {
            mac_address: '02:00:00:00:00:50',
            subnets: [{ ipnet: '10.9.0.50/16', gateway: '10.9.0.1' }],
          },
        },
      },
    ],
  );
  const [made] = attachments.list();
  assert.deepEqual([made?.container, made?.names], ['web', ['752947ff91f9']]);
  assert.deepEqual(
    made?.ports.map(({ protocol, hostPort, containerPort }) => `${protocol} ${hostPort} ${containerPort}`),
    ['tcp 8080 80', 'tcp 8081 81', 'udp 8080 80', 'udp 8081 81', 'udp 5353 53'],
  );
  links.add('eth0');
  assert.match(
    String((await call('setup', container(network))).answer?.['error']),
    /has a link eth0 already/,
  );
  for (const _ of [1, 2])
    assert.deepEqual(await call('teardown', container(network)), { status: 0, answer: undefined });
  assert.deepEqual([...attachments.list(), ...attachments.held('blue')], []);
});

test('a setup that fails leaves nothing, wherever it fails', async () => {
  const { answer: network = {} } = await call('create', BLUE);
  for (const step of ['ensure', 'reserve', 'attach', 'describe'] as const) {
    attachments.failures[step] = new AttachmentError('NOT_READY', `no ${step}`);
    assert.deepEqual((await call('setup', container(network))).answer, { error: `no ${step}` });
    assert.deepEqual([...attachments.list(), ...attachments.held('blue')], []);
  }
});

test('all that is wrong is said at once', async () => {
  const network = { ...BLUE, options: { 'tulle.newtork': 'x', 'tulle.keep': 'yes', mtu: '1400' } };
  const ports = [{ container_port: 65_535, protocol: 'gre', range: 2 }];
  const options = { static_ips: ['10.9.0.1', '10.9.0.2', 'x'], static_mac: 'y' };
  const { answer } = await call('setup', container(network, options, { port_mappings: ports }));
  const said = String(answer?.['error']);
  for (const part of [
    /tulle\.newtork/,
    /tulle\.keep/,
    /"x"/,
    /"y"/,
    /"gre"/,
    /beyond port 65535/,
    /one address of each/,
  ])
    assert.match(said, part);
  assert.doesNotMatch(said, /mtu/);
});
