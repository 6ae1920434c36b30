import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { linkOf } from '../../../test/support/look-facts.ts';
import { recordingLogger } from '../../base/log.ts';
import { Mac } from '../../base/mac.ts';
import { CniReservations } from '../../plugin/cni/cni-reservations.ts';
import { FakeAttachments } from '../../testing/network/fake-attachments.ts';
import { ContainerPlugins } from './container-plugins.ts';

const MAC = Mac.parse('02:00:00:00:00:07');

test('what is left of containers that are gone, and of calls that were cut off, goes when the agent starts', async t => {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'tt-plugins-'));
  t.after(() => rmSync(stateDirectory, { recursive: true }));
  const attachments = Object.assign(new FakeAttachments(), { opened: async () => undefined });
  const reserve = (engine: 'cni' | 'cni-ipam' | 'netavark' | 'docker', container: string) =>
    attachments.reserve('default', { family: 'ipv4', engine, container, mac: MAC });
  const attach = async (engine: 'cni' | 'netavark' | 'docker', id: string) => {
    const wish = { id, engine, network: 'default', mac: MAC, container: id, ports: [] };
    return await attachments.attach({ ...wish, addresses: { ipv4: await reserve(engine, id) } });
  };
  const alive = [await attach('cni', 'c1'), await attach('netavark', 'n1')];
  await attach('cni', 'gone');
  await attach('netavark', 'gone-too');
  // Its own engine says what it has.
  const docker = await attach('docker', 'd1');
  await reserve('cni', 'cut-off');
  await reserve('cni-ipam', 'cut-off');
  const given = await reserve('cni-ipam', 'given');
  const reservations = CniReservations.open(join(stateDirectory, 'cni'), assert.fail);
  await reservations.set({ id: 'given', network: 'default', addresses: { ipv4: given } });

  const plugins = new ContainerPlugins({
    options: { stateDirectory, resolver: { mode: 'off' } },
    attachments,
    rtnetlink: { links: { list: async () => alive.map(({ hostLink }, at) => linkOf(hostLink, at + 1, {})) } },
    logger: recordingLogger(),
  });
  await plugins.run(new AbortController().signal);
  assert.deepEqual(
    attachments
      .list()
      .map(({ id }) => id)
      .sort(),
    ['c1', 'd1', 'n1'],
  );
  const kept = [...alive, docker].map(({ addresses }) => `${addresses.ipv4}`);
  assert.deepEqual(attachments.held('default').map(String).sort(), [...kept, `${given}`].sort());
});

test('calls wait until that is done, and are answered although it fails', async t => {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'tt-plugins-'));
  t.after(() => rmSync(stateDirectory, { recursive: true }));
  const attachments = Object.assign(new FakeAttachments(), { opened: () => Promise.reject(new Error('no')) });
  const logger = recordingLogger();
  const options = { stateDirectory, resolver: { mode: 'off' } } as const;
  const rtnetlink = { links: { list: async () => [] } };
  const plugins = new ContainerPlugins({ options, attachments, rtnetlink, logger });
  const call = {
    type: 'tulle',
    env: { CNI_COMMAND: 'STATUS' },
    own: 'net:[1]',
    config: '{"cniVersion":"1.1.0","name":"n"}',
  };
  let isAnswered = false;
  const answer = plugins.cni(call).finally(() => (isAnswered = true));
  await new Promise(resolve => setImmediate(resolve));
  assert.equal(isAnswered, false);
  await plugins.run(new AbortController().signal);
  assert.match((await answer).stdout, /"code":8,.*another network namespace/);
  assert.match(logger.records[0]?.message ?? '', /stays for now/);
});
