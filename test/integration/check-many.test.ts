/** `tulle check` on a host with 200 peers, whose kernels are those of one namespace. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { serveAsAgent } from '../support/fake-agent.ts';
import { Namespace } from '../support/neighbourhood.ts';
import { healthyPeer, status } from '../support/status.ts';

const PEERS = 200;
const numbers = Array.from({ length: PEERS }, (_, index) => index + 1);

const peers = numbers.map(number => ({
  ...healthyPeer,
  key: `10.88.${number}.0-24`,
  hostName: `host${number}`,
  subnet: { ipv4: `10.88.${number}.0/24` },
  publicIp: { ipv4: `10.77.1.${number}` },
}));

const network = {
  network: '10.88.0.0/16',
  subnetLength: 24,
  subnetMin: '10.88.1.0',
  subnetMax: '10.88.255.0',
};

const document = status({
  underlay: {
    link: { name: 'eth0', index: 2, mtu: 1500 },
    ip: { ipv4: '10.77.0.1' },
    publicIp: { ipv4: '10.77.0.1' },
    chosenBy: '--iface=eth0',
  },
  network: { config: { ipv4: network, backendType: 'vxlan' }, problems: [] },
  lease: { key: '10.88.250.0-24', subnet: { ipv4: '10.88.250.0/24' }, reservation: false, ownership: 'held' },
  backend: {
    type: 'vxlan',
    overlayMtu: 1450,
    mtuParts: [],
    devices: [{ name: 'flannel.1', kind: 'vxlan', vni: 1, port: 8472, addresses: ['10.88.250.0/32'] }],
  },
  peers,
});

interface Checked {
  readonly ok: boolean;
  readonly findings: readonly { readonly code: string; readonly reason: string }[];
  readonly peers: readonly {
    readonly name: string;
    readonly rungs: readonly { answered: number; sent: number }[];
  }[];
}

describe('a host with 200 peers', needsRoot, () => {
  const socket = serveAsAgent((request, response) => {
    if (request.url === '/v1/status') response.end(JSON.stringify(document));
    else response.writeHead(404).end('{"message":"none"}');
  });

  test('asks them all, and says of those that are silent which they are', async t => {
    const [near, far] = [new Namespace(t), new Namespace(t)];
    await near.cable('eth0', '10.77.0.1/16', far, '10.77.1.1/16');
    await near.do(
      'ip link set lo up',
      'ip addr add 10.88.250.0/32 dev lo',
      'ip route add 10.88.0.0/16 via 10.77.1.1',
    );
    await far.do('ip link set lo up', 'ip route add 10.88.250.0/24 via 10.77.0.1');
    const addresses = numbers.flatMap(number => [
      ...(number === 1 ? [] : [`address add 10.77.1.${number}/16 dev eth0`]),
      `address add 10.88.${number}.0/32 dev lo`,
    ]);
    await run('ip', ['-batch', '-'], { namespaces: far.namespaces, input: `${addresses.join('\n')}\n` });
    const check = async (): Promise<Checked> => {
      const began = performance.now();
      const { stdout, stderr } = await run(TULLE, ['check', '--json', '--socket', socket], {
        namespaces: near.namespaces,
        anyStatus: true,
        timeout: 120_000,
      });
      t.diagnostic(`${PEERS} peers: ${Math.round(performance.now() - began)} ms`);
      assert.match(stdout, /^\{/, stderr);
      return JSON.parse(stdout) as Checked;
    };

    const whole = await check();
    assert.equal(whole.peers.length, PEERS);
    const rungs = whole.peers.flatMap(peer => peer.rungs);
    assert.equal(rungs.length, 4 * PEERS, 'underlay and tunnel, small and full');
    assert.deepEqual(
      rungs.filter(({ answered, sent }) => answered < sent),
      [],
    );

    // Two hosts are off.
    await far.do('ip addr del 10.77.1.20/16 dev eth0', 'ip addr del 10.77.1.30/16 dev eth0');
    await far.do('ip addr del 10.88.20.0/32 dev lo', 'ip addr del 10.88.30.0/32 dev lo');
    const { ok, findings, peers: asked } = await check();
    assert.equal(ok, false);
    const silent = asked
      .filter(peer => peer.rungs.every(({ answered }) => answered === 0))
      .map(({ name }) => name);
    assert.deepEqual(silent, ['host20', 'host30']);
    const said = findings.map(({ reason }) => reason).join('\n');
    assert.match(said, /host20/);
    assert.match(said, /host30/);
  });
});
