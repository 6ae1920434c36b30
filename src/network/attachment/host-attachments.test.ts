import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { aborted } from '../../base/abort.ts';
import { systemClock } from '../../base/clock.ts';
import { Ip } from '../../base/ip.ts';
import { recordingLogger } from '../../base/log.ts';
import { Mac } from '../../base/mac.ts';
import { OverlayAddresses } from '../../ipam/overlay-addresses.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { Netns } from '../../sys/netns.ts';
import { FakeKernel } from '../../testing/netlink/fake-kernel.ts';
import { FAKE_OVERLAY } from '../../testing/network/fake-attachments.ts';
import { fc } from '../../testing/properties.ts';
import { attachmentLinks } from './attachment-links.ts';
import type { PublishedMapping } from './attachments.ts';
import { isDetached } from './detached-links.ts';
import { HostAttachments } from './host-attachments.ts';
import { type NetworkSource, noNetwork, reservationError } from './network-source.ts';

const NETWORK = FAKE_OVERLAY;

/** A host whose agent can be killed after any change of a link, and started again. */
class Host {
  readonly kernel = new FakeKernel();
  readonly #directory: string;
  /** Ports that are published, by id. */
  readonly published = new Map<string, readonly PublishedMapping[]>();
  /** What the last start was told of. */
  restored: readonly string[] = [];
  readonly log = recordingLogger();
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Changes of links that the agent survives. */
  #left = Number.POSITIVE_INFINITY;
  /** Links that are detached stay until then. */
  removal: Promise<void> = Promise.resolve();
  #died: () => void = () => undefined;
  agent!: HostAttachments;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start(t: TestContext): Promise<Host> {
    const directory = await mkdtemp(join(tmpdir(), 'tulle-attachments-'));
    const host = new Host(directory);
    t.after(async () => {
      await host.stop();
      await rm(directory, { recursive: true });
    });
    await host.kernel.connect().links.add({ name: NETWORK.bridge, info: { kind: 'bridge' } });
    await host.start();
    return host;
  }

  async start(stateDirectory = this.#directory): Promise<void> {
    // One that is dead holds its files as long as nobody closes them.
    this.#stop.abort();
    this.#stop = new AbortController();
    const { links: removing } = this.kernel.connect();
    const source = await sourceIn(this.#directory, this.log);
    this.agent = new HostAttachments({
      rtnetlink: this.#mortal(this.kernel.connect()),
      removing: {
        links: { deleteGroup: group => this.removal.then(() => removing.deleteGroup(group)) },
      },
      netns: Netns.current(),
      stateDirectory,
      segments: { ...source, find: () => undefined, networks: () => [] },
      overlay: source,
      ports: {
        publish: async ({ id, mappings }) => {
          const ports = mappings.map(one => ({ ...one, hostPort: one.hostPort ?? 32768 }));
          this.published.set(id, ports);
          return ports;
        },
        withdraw: async id => void this.published.delete(id),
        restore: async former => void (this.restored = former.map(({ id }) => id)),
      },
      names: { set: () => undefined },
      clock: systemClock,
      logger: this.log,
    });
    this.#running = this.agent.run(this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running.catch(() => undefined);
  }

  /** What the work becomes, or undefined when the agent is dead before it is done. */
  async dying<T>(changes: number, work: () => Promise<T>): Promise<T | undefined> {
    this.#left = changes;
    const death = new Promise<undefined>(resolve => {
      this.#died = () => resolve(undefined);
    });
    const result = work();
    result.catch(() => undefined);
    const outcome = await Promise.race([result, death]);
    this.#left = Number.POSITIVE_INFINITY;
    return outcome;
  }

  async links(): Promise<readonly string[]> {
    const links = await this.kernel.connect().links.list();
    const detached = new Set(links.filter(isDetached).flatMap(({ name, lower }) => [name, lower]));
    return links
      .filter(
        ({ name, index }) =>
          !['lo', NETWORK.bridge].includes(name) && !detached.has(name) && !detached.has(index),
      )
      .map(({ name }) => name)
      .sort();
  }

  #mortal(route: Rtnetlink): Rtnetlink {
    const counted =
      <Args extends readonly unknown[], T>(change: (...args: Args) => Promise<T>) =>
      async (...args: Args): Promise<T> => {
        const result = await change(...args);
        this.#left--;
        if (this.#left > 0) return result;
        this.#died();
        return new Promise(() => undefined);
      };
    const { links } = route;
    const mortal = {
      ...links,
      add: counted(links.add),
      change: counted(links.change),
      delete: counted(links.delete),
    };
    const apply = counted(route.apply);
    return { ...route, apply, links: mortal, [Symbol.asyncDispose]: () => route[Symbol.asyncDispose]() };
  }
}

async function sourceIn(directory: string, logger: Parameters<typeof OverlayAddresses.open>[1]) {
  const addresses = await OverlayAddresses.open(directory, logger);
  const source: NetworkSource & { run(signal: AbortSignal): Promise<void> } = {
    find: name => (name === 'default' ? NETWORK : undefined),
    networks: () => [NETWORK],
    ensure: async () => NETWORK,
    ready: async name => {
      if (name !== 'default') throw noNetwork(name);
      return NETWORK;
    },
    reserve: async (_, request) => {
      try {
        return await addresses.reserve(request, NETWORK);
      } catch (error) {
        throw reservationError(error);
      }
    },
    release: (_, ip) => addresses.release(ip),
    held: async () => addresses.held(),
    holder: async (_, ip) => addresses.holder(ip),
    attaching: () => ({ [Symbol.dispose]: () => undefined }),
    idOf: () => undefined,
    run: async signal => {
      await aborted(signal);
      await addresses.close();
    },
  };
  return source;
}

const macOf = (number: number) => Mac.fromKey(0x02_42_00_00_00_00 + number);
const addressWish = (number: number) =>
  ({ family: 'ipv4', engine: 'docker', container: `c${number}`, mac: macOf(number) }) as const;
const attachWish = (number: number, ip: Ip) => ({
  id: `id-${number}`,
  engine: 'docker' as const,
  network: 'default',
  addresses: { ipv4: ip },
  mac: macOf(number),
  container: `c${number}`,
  ports: number % 2 === 0 ? [{ protocol: 'tcp' as const, containerPort: 80, hostPort: 8000 + number }] : [],
});

test('an address is given only to what can be read again: the next agent would lose all addresses', async t => {
  const host = await Host.start(t);
  const wish = {
    family: 'ipv4',
    engine: 'docker',
    container: 'web',
    mac: Mac.parse('02:00:00:00:00:01'),
  } as const;
  for (const wrong of [
    { mac: Mac.parse('01:00:5e:00:00:01') },
    { mac: Mac.parse('00:00:00:00:00:00') },
    { container: 'a b' },
    { container: '' },
  ]) {
    await assert.rejects(host.agent.reserve(NETWORK.name, { ...wish, ...wrong }), { code: 'INVALID_WISH' });
  }
});

test('whatever an engine asks, and whenever the agent dies, there is what was attached and nothing else', async t => {
  const step = fc.record({
    act: fc.constantFrom(
      'reserve',
      'attach',
      'attach',
      'detach',
      'release',
      'describe',
      'restart',
      'reconcile',
    ),
    number: fc.nat(3),
    givesUp: fc.boolean(),
    dies: fc.oneof(
      { weight: 2, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
      fc.integer({ min: 1, max: 4 }),
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 24 }), async steps => {
      const host = await Host.start(t);
      const held = new Map<number, Ip>();
      const attached = new Set<number>();
      /** Asks until the agent lives long enough to answer; an engine that is told nothing may also give up. */
      const ask = async <T>(
        dies: number,
        work: () => Promise<T>,
        givesUp = false,
      ): Promise<T | undefined> => {
        for (let life = dies; ; life = Number.POSITIVE_INFINITY) {
          const answer = await host.dying(life, async () => ({ value: await work() }));
          if (answer !== undefined) return answer.value;
          await host.start();
          if (givesUp) return undefined;
        }
      };
      for (const { act, number, dies, givesUp } of steps) {
        const ip = held.get(number);
        if (act === 'reserve' && ip === undefined) {
          const given = await ask(dies, () => host.agent.reserve('default', addressWish(number)));
          assert.ok(given);
          assert.ok(![...held.values()].some(one => one.equals(given)), 'no address twice');
          held.set(number, given);
        } else if (act === 'attach' && ip !== undefined) {
          const made = await ask(dies, () => host.agent.attach(attachWish(number, ip)), givesUp);
          if (made !== undefined) attached.add(number);
          assert.ok(made === undefined || made.hostLink === attachmentLinks(`id-${number}`).host);
        } else if (act === 'attach') {
          const wish = attachWish(number, Ip.parse('10.3.4.200'));
          await assert.rejects(host.agent.attach(wish), { code: 'INVALID_WISH' });
        } else if (act === 'detach') {
          await ask(dies, () => host.agent.detach(`id-${number}`));
          attached.delete(number);
        } else if (act === 'release' && ip !== undefined && !attached.has(number)) {
          await ask(dies, () => host.agent.release('default', ip));
          held.delete(number);
        } else if (act === 'describe') {
          await ask(dies, () =>
            host.agent.describe(`id-${number}`, { container: `d${number}`, names: ['x'] }),
          );
        } else if (act === 'restart') {
          await host.stop();
          await host.start();
        } else if (act === 'reconcile') {
          const ids = new Set(Array.from(attached, one => `id-${one}`));
          const ips = Array.from(held.values(), one => ({ network: 'default', ip: one }));
          await ask(dies, () => host.agent.reconcile('docker', { ids, ips }, performance.now()));
        }
        // It has taken over what the former one left as soon as it answers.
        await host.agent.describe('nothing', { container: 'x', names: [] });
        assert.deepEqual(
          host.agent
            .list()
            .map(({ id }) => id)
            .toSorted(),
          Array.from(attached, one => `id-${one}`).sort(),
        );
        const wanted = Array.from(
          attached,
          one => Object.values(attachmentLinks(`id-${one}`)) as string[],
        ).flat();
        assert.deepEqual(await host.links(), wanted.toSorted());
        for (const one of attached) assert.deepEqual(await host.agent.check(`id-${one}`), []);
        const withPorts = Array.from(attached).filter(one => one % 2 === 0);
        assert.deepEqual([...host.published.keys()].sort(), withPorts.map(one => `id-${one}`).sort());
      }
      await host.agent.reconcile('docker', { ids: new Set(), ips: [] }, performance.now());
      assert.deepEqual(await host.links(), []);
      const again = await host.agent.reserve('default', {
        ...addressWish(9),
        ip: held.get(0) ?? Ip.parse('10.3.4.77'),
      });
      assert.ok(again, 'everything is free');
      await host.stop();
      assert.equal((await host.kernel.connect().links.list()).length, 2, 'loopback and the bridge');
    }),
    { numRuns: 40 },
  );
});

test('a disk that is full keeps no container from its network, and a lost record is read from the links', async t => {
  const host = await Host.start(t);
  const ip = await host.agent.reserve('default', addressWish(1));
  await host.stop();
  const file = join(await mkdtemp(join(tmpdir(), 'tulle-attachments-')), 'file');
  t.after(() => rm(join(file, '..'), { recursive: true }));
  await writeFile(file, '');
  await host.start(file);
  await host.agent.attach(attachWish(1, ip));
  await host.stop();
  assert.ok(host.log.records.some(({ message }) => /could not be written/.test(message)));
  await host.start();
  assert.equal(await host.agent.detach('id-1'), true);
  assert.deepEqual(await host.links(), []);
});

test('what differs from how it was made is said, and made again when it is asked for', async t => {
  const host = await Host.start(t);
  const kernel = host.kernel.connect();
  const ip = await host.agent.reserve('default', addressWish(1));
  const wish = attachWish(1, ip);
  const { hostLink } = await host.agent.attach(wish);
  await kernel.links.change(hostLink, { up: false, master: 0 });
  assert.deepEqual(await host.agent.check('id-1'), [
    `${hostLink} is no port of ${NETWORK.bridge}`,
    `${hostLink} is down`,
  ]);
  await kernel.links.delete(hostLink);
  assert.deepEqual(await host.agent.check('id-1'), [`the link ${hostLink} is gone`]);
  await host.agent.attach(wish);
  assert.deepEqual(await host.agent.check('id-1'), []);
  await assert.rejects(host.agent.check('id-2'), { code: 'NOT_FOUND' });
});

test('an address is one container’s, until nothing is attached with it', async t => {
  const host = await Host.start(t);
  const ip = await host.agent.reserve('default', addressWish(1));
  await host.agent.attach(attachWish(1, ip));
  await assert.rejects(host.agent.attach({ ...attachWish(1, ip), id: 'id-2', mac: macOf(2) }), {
    code: 'ADDRESS_TAKEN',
  });
  await host.agent.release('default', ip);
  await assert.rejects(host.agent.reserve('default', { ...addressWish(2), ip }), { code: 'ADDRESS_TAKEN' });
  await host.agent.detach('id-1');
  assert.deepEqual(await host.agent.reserve('default', { ...addressWish(2), ip }), ip);
});

test('links that are detached are deleted together, also those of an agent that died, and no others', async t => {
  const host = await Host.start(t);
  const kernel = host.kernel.connect();
  const foreign = 0x74756c6c;
  await kernel.links.add({ name: 'mine', info: { kind: 'veth' } });
  await kernel.links.change('mine', { group: foreign, alias: 'tulle detached id-7' });
  await host.stop();
  await host.start();
  for (const number of [1, 2, 3]) {
    await host.agent.attach(attachWish(number, await host.agent.reserve('default', addressWish(number))));
  }
  const { host: link } = attachmentLinks('id-1');
  const { promise, resolve: remove } = Promise.withResolvers<void>();
  host.removal = promise;
  await host.agent.detach('id-1');
  const { group, master, up } = (await kernel.links.get(link)) ?? assert.fail();
  assert.deepEqual([group, master, up], [foreign + 1, undefined, false]);
  assert.deepEqual(
    host.agent.list().map(({ id }) => id),
    ['id-2', 'id-3'],
  );
  await host.dying(1, () => host.agent.detach('id-2'));
  // An engine may come back with the same id before that.
  const ip = host.agent.get('id-3')?.addresses.ipv4 ?? assert.fail();
  await host.agent.detach('id-3');
  await host.agent.attach(attachWish(3, ip));
  await host.start();
  remove();
  await host.agent.describe('nothing', { container: 'x', names: [] });
  await host.stop();
  const { host: near, container: far } = attachmentLinks('id-3');
  assert.deepEqual(await host.links(), [far, near, ...(await peersOf('mine'))].sort());

  async function peersOf(name: string) {
    const { lower = 0 } = (await kernel.links.get(name)) ?? assert.fail(`${name} is gone`);
    return [name, (await kernel.links.get(lower))?.name ?? ''];
  }
});
