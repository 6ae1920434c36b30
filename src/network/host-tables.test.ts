/** Links and addresses that follow the kernel's announcements are what a whole reading would give. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parseInterfaceAddress } from '../base/prefix.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';
import { HostTables } from './host-tables.ts';

/** Tables that take all that is announced, with the number of times that all links were read. */
async function tablesOf(t: TestContext) {
  const kernel = new FakeKernel();
  const eth0 = kernel.plugIn({ name: 'eth0', up: true, running: true, mtu: 1500 });
  const rtnetlink = kernel.connect();
  let reads = 0;
  /** What happens while all links are being read. */
  let meanwhile = async (): Promise<void> => undefined;
  const tables = new HostTables({
    addresses: rtnetlink.addresses,
    links: {
      async list() {
        reads++;
        const links = await rtnetlink.links.list();
        await meanwhile();
        return links;
      },
    },
  });
  const stop = new AbortController();
  let onIdle: () => void = () => undefined;
  const following = (async () => {
    for await (const event of rtnetlink.watch(['link', 'address'], stop.signal)) {
      tables.announced(event);
      if (event.type === 'idle') onIdle();
    }
  })();
  t.after(async () => {
    stop.abort();
    await following;
    await rtnetlink[Symbol.asyncDispose]();
  });
  /** Does it, and waits until it was announced. */
  const change = async (work: () => Promise<unknown>) => {
    const idle = new Promise<void>(resolve => (onIdle = resolve));
    await work();
    await idle;
  };
  const assertWhole = async () => {
    const known = await tables.read();
    const [links, addresses] = await Promise.all([rtnetlink.links.list(), rtnetlink.addresses.list()]);
    assert.deepEqual(known, { links, addresses });
  };
  const during = (work: () => Promise<void>) => {
    meanwhile = work;
  };
  return { kernel, eth0, rtnetlink, tables, change, assertWhole, during, reads: () => reads };
}

test('a change is taken from its announcement, and all is read again only when some were lost', async t => {
  const { kernel, eth0, rtnetlink, change, assertWhole, reads } = await tablesOf(t);
  await assertWhole();
  await change(() => rtnetlink.links.add({ name: 'br0', info: { kind: 'bridge' } }));
  await assertWhole();
  await change(() => rtnetlink.links.change('br0', { mtu: 1400, up: true }));
  await assertWhole();
  for (const text of ['10.1.0.9/24', '10.1.0.2/24', 'fd00::2/64']) {
    await change(() => rtnetlink.addresses.replace({ ...parseInterfaceAddress(text), index: eth0.index }));
    await assertWhole();
  }
  const first = { ...parseInterfaceAddress('10.1.0.9/24'), index: eth0.index };
  await change(() => rtnetlink.addresses.delete(first));
  await assertWhole();
  await change(() => rtnetlink.links.delete('br0'));
  await assertWhole();
  assert.equal(reads(), 1);
  await change(async () => kernel.overrun());
  await assertWhole();
  assert.equal(reads(), 2);
});

test('what changes while all is being read is known afterwards', async t => {
  const { eth0, rtnetlink, change, assertWhole, during } = await tablesOf(t);
  during(async () => {
    during(async () => undefined);
    await change(() => rtnetlink.links.change(eth0.index, { mtu: 1400 }));
    await change(() => rtnetlink.links.add({ name: 'br0', info: { kind: 'bridge' } }));
    const address = { ...parseInterfaceAddress('10.1.0.9/24'), index: eth0.index };
    await change(() => rtnetlink.addresses.replace(address));
  });
  await assertWhole();
});

test('what could not be read is read the next time', async t => {
  const { tables, assertWhole, during, reads } = await tablesOf(t);
  during(() => Promise.reject(new Error('out of memory')));
  await assert.rejects(tables.read(), /out of memory/);
  during(async () => undefined);
  await assertWhole();
  assert.equal(reads(), 2);
});
