/**
 * A stranger on the underlay, and a peer that lies, against hosts that look at who sends and one that does not.
 *
 *     docker1 (checks)   docker2 (does not)   docker3 (checks)   stranger (no agent)
 *          |                   |                   |                  |
 *     -----+-------------------+-------------------+------------------+----- underlay
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AgentClient } from '../../src/api/client.ts';
import { DEFAULT_SOCKET } from '../../src/api/messages.ts';
import { formatHex, written } from '../../src/base/bytes.ts';
import { messageChecksum } from '../../src/base/checksum.ts';
import { Mac } from '../../src/base/mac.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import { planTopology } from '../../src/lab/topology/plan.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { ipPacket } from '../../src/testing/packets.ts';
import { lostEchoes } from '../support/echoes.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { dumpHost, labName, needsLab, programsOf } from '../support/lab.ts';

const possible = needsLab();
const PORT = { vxlan: 4789, udp: 8285 } as const;
const SEND = `const [hex, address, port] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp4');
socket.send(Buffer.from(hex, 'hex'), Number(port), address, () => socket.close());`;

for (const backend of ['vxlan', 'udp'] as const) {
  describe(`who may send over ${backend}`, possible, () => {
    let lab: Lab;
    before(async () => {
      lab = await makeLab(backend);
    });
    after(async () => {
      await lab?.[Symbol.asyncDispose]();
    });
    const hostOf = (name: string) => {
      const record = lab.record.hosts.find(host => host.name === name) ?? assert.fail(name);
      const host = new LabHost(record.name, record.anchor);
      const client = new AgentClient({ socketPath: host.path(DEFAULT_SOCKET) });
      return {
        host,
        client,
        record,
        address: record.address.ipv4 ?? '',
        ip: record.containers[0]?.ip.ipv4 ?? '',
      };
    };
    /** Echo requests that a container has received. */
    const received = async (name: string) => {
      const { host, record } = hostOf(name);
      const netns = record.containers[0]?.netns ?? '';
      const { stdout } = await host.run('nsenter', [`--net=${netns}`, 'cat', '/proc/net/snmp']);
      const [names = '', values = ''] = stdout.split('\n').filter(line => line.startsWith('Icmp:'));
      return Number(values.split(' ')[names.split(' ').indexOf('InEchos')]);
    };
    /** Sends an echo request in a tunnel packet, with the MAC address and the VNI that the receiver wants. */
    const inject = async (from: string, source: string, to: string, destination: string) => {
      const [sender, receiver] = [hostOf(from), hostOf(to)];
      const echo = written(writer => writer.u8(8).u8(0).u16be(0).u16be(7).u16be(1));
      new DataView(echo.buffer, echo.byteOffset).setUint16(2, messageChecksum(echo));
      const packet = ipPacket({ from: source, to: destination, protocol: 1 }, echo);
      const { backend: used } = await receiver.client.status();
      const mac = used?.devices[0]?.mac;
      const frame = mac === undefined ? packet : wrapped(88, mac, packet);
      await sender.host.run(process.execPath, [
        '-e',
        SEND,
        formatHex(frame),
        receiver.address,
        `${PORT[backend]}`,
      ]);
    };
    const refused = async (name: string) =>
      (await hostOf(name).client.status()).firewall.refused ?? { strangers: 0, sources: 0, recent: [] };
    const explaining = async (work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        for (const name of ['docker1', 'docker2'])
          process.stderr.write(`${await dumpHost(hostOf(name).host)}\n`);
        throw error;
      }
    };

    test('a stranger reaches a container where nobody looks, and none where somebody does', () =>
      explaining(async () => {
        const [checked, open] = [hostOf('docker1'), hostOf('docker2')];
        const before = [await received('docker1'), await received('docker2')] as const;
        // The source is a container of another peer, so that the forwarder of udp has no reason of its own to refuse it.
        const source = hostOf('docker3').ip;
        await inject('stranger', source, 'docker1', checked.ip);
        await inject('stranger', checked.ip, 'docker2', open.ip);
        const { address } = hostOf('stranger');
        await eventually('the stranger is refused and named', async () => {
          const { strangers, recent } = await refused('docker1');
          return strangers > 0 && recent.includes(address);
        });
        assert.equal(await received('docker1'), before[0]);
        // The forwarder refuses strangers by itself.
        if (backend === 'vxlan')
          await eventually(
            'it arrives where nobody looks',
            async () => (await received('docker2')) > before[1],
          );
        assert.equal((await hostOf('docker2').client.status()).firewall.refused, undefined);
      }));

    test('a peer sends for its own containers, and not for those of another', () =>
      explaining(async () => {
        const before = await received('docker1');
        const checked = hostOf('docker1');
        await inject('docker2', hostOf('docker3').ip, 'docker1', checked.ip);
        const count = async () => {
          if (backend === 'vxlan') return (await refused('docker1')).sources;
          const { host, peers } = await checked.client.forwarder();
          return [host, ...peers].reduce((sum, { drops }) => sum + (drops['wrongSource'] ?? 0), 0);
        };
        await eventually('the packet of the liar is refused', async () => (await count()) > 0);
        assert.equal(await received('docker1'), before);
        await inject('docker2', hostOf('docker2').ip, 'docker1', checked.ip);
        await eventually('its own arrives', async () => (await received('docker1')) > before);
      }));

    test('peers lose nothing to the filter', () =>
      explaining(async () => {
        const before = await refused('docker1');
        const peers = lab.record.hosts.filter(({ subnet }) => subnet.ipv4 !== undefined);
        const pairs = peers.flatMap(({ name }) => {
          const { host, record } = hostOf(name);
          const places = [host.netnsFile, ...record.containers.map(({ netns }) => host.path(netns))];
          const others = peers.filter(peer => peer.name !== name).map(peer => hostOf(peer.name).ip);
          return places.flatMap(from => others.map(to => ({ from, to, count: 3, interval: 20 })));
        });
        assert.equal(pairs.length, 12);
        const lost = await Promise.all(pairs.map(lostEchoes));
        assert.deepEqual(
          lost,
          pairs.map(() => 0),
        );
        const { strangers, sources } = await refused('docker1');
        assert.deepEqual([strangers, sources], [before.strangers, before.sources]);
      }));

    test('what others change of it is repaired', () =>
      explaining(async () => {
        const { host } = hostOf('docker1');
        const table = (await tables(host))[0] ?? assert.fail('there is a table');
        const others = [hostOf('docker2').address, hostOf('docker3').address];
        const senders = async () =>
          (await host.run('nft', ['list', 'set', 'inet', table, 'senders-ip'])).stdout;
        await host.run('nft', ['delete', 'element', 'inet', table, 'senders-ip', `{ ${others[0]} }`]);
        await host.run('nft', ['add', 'element', 'inet', table, 'senders-ip', '{ 192.0.2.1 }']);
        await eventually('the set is as it was', async () => {
          const text = await senders();
          return others.every(other => text.includes(other)) && !text.includes('192.0.2.1');
        });
        await host.run('nft', ['flush', 'ruleset']);
        await eventually('the table is there again', async () => (await tables(host)).includes(table));
        await inject('stranger', hostOf('docker3').ip, 'docker1', hostOf('docker1').ip);
        await eventually('strangers are refused again', async () => (await refused('docker1')).strangers > 0);
      }));

    test('it outlives the agent, and cleanup removes it', () =>
      explaining(async () => {
        const { host } = hostOf('docker3');
        for (const { id, words } of programsOf(host)) if (words.includes('agent')) await endProcess(id, 0);
        assert.equal((await tables(host)).length, 1);
        // The agent may not have written down its network yet.
        await host.run(TULLE, ['cleanup', '--network', '188.172.0.0/16'], {
          anyStatus: true,
          timeout: 60_000,
        });
        assert.deepEqual(await tables(host), []);
      }));
  });
}

async function makeLab(backend: 'vxlan' | 'udp'): Promise<Lab> {
  const agent = { agent: true, containers: ['c1'], links: [{ segment: 'underlay' }], forwarding: true };
  const plan = planTopology(
    {
      segments: { underlay: { subnet: '192.168.65.0/24' } },
      hosts: {
        docker1: { ...agent, links: [{ segment: 'underlay', address: '192.168.65.3' }] },
        docker2: {
          ...agent,
          agent: { flags: ['--check-senders=false'] },
          links: [{ segment: 'underlay', address: '192.168.65.4' }],
        },
        docker3: { ...agent, links: [{ segment: 'underlay', address: '192.168.65.5' }] },
        stranger: { links: [{ segment: 'underlay', address: '192.168.65.77' }] },
      },
      store: { on: 'docker1' },
      network: {
        Network: '188.172.0.0/16',
        Backend: backend === 'vxlan' ? { Type: 'vxlan', VNI: 88, Port: PORT.vxlan } : { Type: 'udp' },
      },
    },
    { name: labName() },
  );
  return createLab(plan, { signal: deadline('a lab is made', 90_000) });
}

/** A frame from nowhere in VXLAN (RFC 7348). */
function wrapped(vni: number, mac: string, packet: Uint8Array): Uint8Array {
  return written(writer =>
    writer
      .u32be(0x08000000)
      .u32be(vni * 0x100)
      .bytes(Mac.parse(mac).bytes)
      .bytes(Uint8Array.of(2, 0, 0, 0, 0, 9))
      .u16be(0x0800)
      .bytes(packet),
  );
}

async function tables(host: LabHost): Promise<string[]> {
  const { stdout } = await host.run('nft', ['list', 'tables']);
  return Array.from(stdout.matchAll(/^table inet (tulle-senders-\S+)$/gm), ([, name = '']) => name);
}
