/**
 * Many containers on one host, as far as the plugin sees them: a program that speaks Docker's protocol, and no dockerd,
 * which takes longer than all that is counted here.
 *
 *     dockerd's calls ──> agent of docker1 ──> a link on tb-blue and an address for each
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parseBook } from '../../src/ipam/book-text.ts';
import { startAgentOn, stopAgentOn } from '../../src/lab/control.ts';
import { LabHost } from '../../src/lab/host/host.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { agentOf } from '../../src/lab/service/agent.ts';
import { callPlugin } from '../support/docker-orders.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { lab, labName, needsLab, tracesOf } from '../support/lab.ts';

/** `CONTAINERS=1000` measures a full host; here a few show that all is counted. */
const CONTAINERS = Number(process.env['CONTAINERS'] ?? 100);
/** As many are made and removed at one time: dockerd serves its clients side by side. */
const AT_ONCE = Number(process.env['AT_ONCE'] ?? 4);
const NETWORK = 'b'.repeat(64);
const SOCKET = '/run/p.sock';

describe('many containers', needsLab(), () => {
  const name = labName();
  let host: LabHost;
  const times = new Map<string, number[]>();

  before(async () => {
    const up = await lab(['up', '--name', name, '--hosts', '1', '--containers', '0', '--store', 'tulle']);
    assert.equal(up.status, 0, up.stderr);
    host = new LabHost('docker1', requireRecord(name).hosts[0]?.anchor ?? assert.fail());
    await stopAgentOn(name, 'docker1');
    await startAgentOn(name, 'docker1', [`--docker-plugin=${SOCKET}`], deadline('the agent starts'));
  });
  after(async () => {
    await lab(['down', '--name', name]);
    assert.deepEqual(await tracesOf(name), []);
  });

  const call = async (uri: string, body: object): Promise<Record<string, unknown>> => {
    const started = performance.now();
    const { status, text } = await callPlugin(host.path(SOCKET), `/${uri}`, JSON.stringify(body));
    times.set(uri, [...(times.get(uri) ?? []), performance.now() - started]);
    assert.equal(status, 200, `${uri}: ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  };
  const inParallel = async (work: (at: number) => Promise<void>) => {
    let next = 0;
    const worker = async () => {
      for (let at = next++; at < CONTAINERS; at = next++) await work(at);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  };
  const held = () => {
    const directory = host.path('/var/lib/tulle');
    const files = readdirSync(directory).filter(file => file.startsWith('addresses-'));
    const lines = files.map(file => readFileSync(`${directory}/${file}`, 'utf8').split('\n').slice(0, -1));
    return lines.reduce((sum, book) => sum + parseBook(book).addresses().length, 0);
  };
  const links = async () => {
    const { stdout } = await host.run('ip', ['-oneline', 'link'], { maxOutput: 16 << 20 });
    return stdout.match(/: tv[0-9a-f]{12}@/g)?.length ?? 0;
  };

  /** Milliseconds of processor time of the agent until now (proc(5), /proc/PID/stat, in hundredths of a second). */
  const processorTime = () => {
    const { pid } = agentOf(host.anchor) ?? assert.fail();
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  };

  test('get an address, a link and a way out each, and give all of it back', {
    timeout: 180_000,
  }, async t => {
    const pool = await call('IpamDriver.RequestPool', { AddressSpace: 'tulle' });
    const Gateway = (pool['Data'] as Record<string, string>)['com.docker.network.gateway'] ?? assert.fail();
    const PoolID = pool['PoolID'];
    await eventually('the network is made', async () => {
      await call('NetworkDriver.CreateNetwork', {
        NetworkID: NETWORK,
        Options: { 'com.docker.network.generic': { 'tulle.network': 'blue' } },
        IPv4Data: [{ AddressSpace: 'tulle', Pool: '0.0.0.0/0', Gateway }],
      });
      return true;
    });
    times.clear();
    const before = processorTime();
    const addresses: string[] = [];
    const endpoint = (at: number) => ({ NetworkID: NETWORK, EndpointID: `e${at}` });
    await inParallel(async at => {
      const mac = `02:42:00:00:${(at >> 8).toString(16).padStart(2, '0')}:${(at & 255).toString(16).padStart(2, '0')}`;
      const Options = { 'com.docker.network.endpoint.macaddress': mac };
      const { Address } = await call('IpamDriver.RequestAddress', { PoolID, Options });
      addresses[at] = String(Address);
      await call('NetworkDriver.CreateEndpoint', {
        ...endpoint(at),
        Interface: { Address, MacAddress: mac },
      });
      await call('NetworkDriver.Join', { ...endpoint(at), SandboxKey: `/var/run/docker/netns/${at}` });
      await call('NetworkDriver.ProgramExternalConnectivity', endpoint(at));
    });
    assert.equal(new Set(addresses).size, CONTAINERS);
    assert.equal(await links(), CONTAINERS);
    assert.equal(held(), CONTAINERS);
    await inParallel(async at => {
      await call('NetworkDriver.RevokeExternalConnectivity', endpoint(at));
      await call('NetworkDriver.Leave', endpoint(at));
      await call('NetworkDriver.DeleteEndpoint', endpoint(at));
      await call('IpamDriver.ReleaseAddress', { PoolID, Address: addresses[at]?.split('/')[0] });
    });
    assert.equal(held(), 0);
    await eventually('the links are gone', async () => (await links()) === 0);
    const each = (processorTime() - before) / CONTAINERS;
    t.diagnostic(`processor time of the agent: ${each.toFixed(1)} ms a container`);
    for (const [uri, all] of times) {
      const sorted = all.toSorted((a, b) => a - b);
      const at = (share: number) => sorted[Math.floor(sorted.length * share)]?.toFixed(1);
      t.diagnostic(`${uri}: median ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(0.9999)} ms`);
    }
  });
});
