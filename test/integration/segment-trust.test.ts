/**
 * L2 networks on a store that knows its hosts by their certificates: what agents do works, and what a host tries with the
 * keys of another is refused by the store.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Ip } from '../../src/base/ip.ts';
import { recordingLogger } from '../../src/base/log.ts';
import { byFamily } from '../../src/base/per-family.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { storeConfig } from '../../src/etcdserver/config.ts';
import { StoreServer } from '../../src/etcdserver/store-server.ts';
import { HostAddresses } from '../../src/ipam/host-addresses.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { addSegment, removeSegment } from '../../src/subnet/segment/administration.ts';
import { SegmentPresence } from '../../src/subnet/segment/presence.ts';
import { SegmentRegistry } from '../../src/subnet/segment/segment-registry.ts';
import { SegmentWatch } from '../../src/subnet/segment/segment-watch.ts';
import { freePorts } from '../../src/sys/free-ports.ts';
import { StoreTrust } from '../../src/trust/store-trust.ts';
import { makeRequest } from '../../src/trust/x509.ts';
import { deadline } from '../support/eventually.ts';
import { names } from '../support/join-store.ts';
import { NameHostFixture } from '../support/names.ts';
import { macOf } from '../support/segments.ts';

const IDS = ['5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11', '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22'] as const;

/** Takes no machine that is busy for a store that is gone. */
const timing = { connect: 15_000, call: 20_000, pingTimeout: 15_000 };

test('a host with a certificate has its own on L2 networks, and nothing of others', {
  timeout: 120_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'tulle-segment-trust-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const [port = 0] = await freePorts(1);
  const address = `127.0.0.1:${port}`;
  const trust = await StoreTrust.init(directory, { address, prefix: NETWORK_PREFIX }, names, systemClock);
  const { authority, server, admin } = trust.authority.files;
  const config = storeConfig({
    name: 'default',
    dataDir: directory,
    listenClientUrls: [`https://${address}`],
    advertiseClientUrls: [`https://${address}`],
    certFile: server.certificate,
    keyFile: server.key,
    trustedCaFile: authority,
    clientCertAuth: true,
    quotaBackendBytes: '0',
    autoCompactionMode: 'periodic',
    autoCompactionRetention: '0',
  });
  const log = recordingLogger();
  stack.use(await StoreServer.start({ ...config, ...trust.extension(log), clock: systemClock, log }));
  const open = (certFile: string, keyFile: string) => {
    const tls = { caFile: authority, certFile, keyFile };
    const store = stack.use(new EtcdStore({ endpoints: [`https://${address}`], timing, tls }));
    return new SegmentRegistry(store, { prefix: NETWORK_PREFIX });
  };
  const registry = open(admin.certificate, admin.key);
  const hosts = await Promise.all(
    IDS.map(async (hostId, at) => {
      const { request, key } = await makeRequest({ commonName: hostId, organization: '' });
      const { certificate } = await trust.certifyHost({ hostId, request });
      const [certFile, keyFile] = [join(directory, `${at}.pem`), join(directory, `${at}-key.pem`)];
      await writeFile(certFile, certificate);
      await writeFile(keyFile, key);
      const own = open(certFile, keyFile);
      const watch = new SegmentWatch(own);
      const presence = new SegmentPresence(own, watch, { hostId, ttl: 600 });
      const host = { hostId, hostName: `docker${at + 1}` };
      const stateDirectory = join(directory, `state-${at}`);
      const addresses = new HostAddresses({
        registry: own,
        watch,
        presence,
        directory: stateDirectory,
        host,
      });
      const end = new AbortController();
      const running = Promise.all([watch, presence, addresses].map(part => part.run(end.signal)));
      stack.defer(async () => {
        end.abort();
        await running;
      });
      return { hostId, own, watch, presence, addresses };
    }),
  );
  const [one, two] = hosts;
  assert.ok(one && two);

  const blue = await addSegment(registry, { name: 'blue', subnets: ['10.9.0.0/16'] });
  for (const [at, { watch, presence, hostId }] of hosts.entries()) {
    for await (const { segments } of watch.changes(deadline('the hosts see the network'))) {
      if (segments.has('blue')) break;
    }
    presence.setMember(blue, { hostId, addresses: byFamily(Ip.parse(`192.168.65.${at + 3}`)) });
    presence.setEndpoints(blue, []);
  }
  const [first, second] = await Promise.all(
    hosts.map(({ addresses }, at) => addresses.connect('blue', { container: 'web', mac: macOf(at + 1) })),
  );
  assert.ok(first?.isPublished && second?.isPublished);
  const known = async (done: (found: Awaited<ReturnType<typeof registry.get>>) => boolean) => {
    for await (const { segments } of one.watch.changes(deadline('the host sees what is published'))) {
      const found = segments.get('blue');
      if (found !== undefined && done(found)) return found;
    }
    throw new Error('the watch has ended');
  };
  const found = await known(({ members, endpoints }) => members.size === 2 && endpoints.size === 2);
  const ofTwo = [...found.endpoints.values()].find(({ hostId }) => hostId === two.hostId);
  const rangeOfTwo = [...found.ranges.values()].find(({ hostId }) => hostId === two.hostId);
  assert.ok(ofTwo && rangeOfTwo);

  const { own } = one;
  const { id: lease } = await own.store.grant(60);
  const keys = own.keys;
  const value = new TextEncoder().encode('{}');
  const denied = { code: 'FORBIDDEN' };
  for (const attempt of [
    () => own.store.delete(keys.endpoint('blue', ofTwo.ip)),
    () => own.store.put(keys.endpoint('blue', ofTwo.ip), value),
    () => own.store.delete(keys.member('blue', two.hostId)),
    () => own.join(blue, { hostId: two.hostId, addresses: byFamily(Ip.parse('192.168.65.9')) }, lease),
    () => own.join(blue, { hostId: one.hostId, addresses: byFamily(Ip.parse('192.168.65.4')) }, lease),
    () => own.store.delete(keys.range('blue', rangeOfTwo.block)),
    () => own.leaseRange(blue, 'ipv4', { hostId: two.hostId }),
    () => own.claimEndpoints(blue, [{ ...ofTwo, ip: Ip.parse('10.9.0.9'), hostId: one.hostId }], lease),
    () => own.claimEndpoints(blue, [{ ...ofTwo, ip: Ip.parse('10.9.0.9') }], lease),
    () => own.store.delete(keys.config('blue')),
    () => own.store.put(keys.vni(5), value),
    () => own.store.revoke(ofTwo.storeLease),
    () => removeSegment(own, 'blue', { force: true }),
    () => addSegment(own, { name: 'red', subnets: ['10.8.0.0/16'], docker: true }),
    () => addSegment(own, { name: 'red', subnets: ['192.0.2.0/24'] }),
  ]) {
    await assert.rejects(attempt, denied, attempt.toString());
  }
  // What an engine on the host asks for, which it cannot take back.
  const red = await addSegment(own, { name: 'red', subnets: ['10.8.0.0/16'] });
  await assert.rejects(removeSegment(own, 'red'), denied);
  await removeSegment(registry, 'red');
  assert.notEqual((await addSegment(two.own, { name: 'red', subnets: ['10.8.0.0/16'] })).id, red.id);
  // The store refuses what it would not have compared; who has the address is said all the same.
  const duplicate = { ...ofTwo, hostId: one.hostId, mac: macOf(77) };
  await assert.rejects(own.claimEndpoints(blue, [duplicate], lease), {
    code: 'DUPLICATE_ADDRESS',
    message: `${ofTwo.ip} in the network blue is the address of web on docker2`,
  });
  assert.equal(await own.reclaimRange(blue, { ...rangeOfTwo, hostId: one.hostId }), undefined);
  const { segment, members, endpoints, ranges } = await registry.get('blue');
  assert.deepEqual([segment.id, members.size, endpoints.size, ranges.size], [blue.id, 2, 2, 2]);

  // What another host has keeps nothing else of this one from being published.
  const seen = [ofTwo.mac, macOf(88), macOf(89)].map((mac, at) => {
    return { ip: Ip.parse('10.9.0.20').plus(at), mac, container: `c${at}`, hostId: one.hostId };
  });
  one.presence.setEndpoints(blue, seen);
  await known(snapshot => snapshot.endpoints.size === 4);
  const { conflicts } = await one.presence.state.until(
    state => state.conflicts.length > 0,
    deadline('the conflict is reported'),
  );
  assert.deepEqual(
    conflicts.map(({ endpoint, owner }) => `${endpoint.container} ${owner.container} ${owner.hostName}`),
    ['c0 web docker2'],
  );
  one.presence.setEndpoints(blue, []);

  // Names of its own containers are taken, and those of another host keep them from nobody.
  {
    await using namer = new NameHostFixture(one.hostId, own.store);
    namer.state('blue 10.9.0.77 mine', `blue ${ofTwo.ip} theirs`);
    await namer.until('blue', 'mine', '10.9.0.77');
    const { failure } = await namer.publisher.state.until(
      state => state.failure !== undefined,
      deadline('the refusal is reported'),
    );
    assert.equal(failure?.code, 'FORBIDDEN');
    // The host itself answers with what it states; it is the others who must not hear of it.
    await using other = new NameHostFixture(two.hostId, two.own.store);
    await other.until('blue', 'mine', '10.9.0.77');
    assert.deepEqual(other.lookup('blue', 'theirs'), []);
  }

  // What is a host's own it takes back.
  await one.addresses.disconnect('blue', 'web');
  await known(snapshot => snapshot.endpoints.size === 1);
  one.presence.setMember(blue, null);
  await one.addresses.leave('blue');
  await known(snapshot => snapshot.members.size === 1 && snapshot.ranges.size === 1);
});
