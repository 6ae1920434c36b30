import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { readCniConfig } from '../../plugin/cni/cni-config.ts';
import { conflistText, describeConflist } from './conflist.ts';
import { type CniPlaces, installCni, planCni, uninstallCni } from './install-cni.ts';

let root: string;
let places: CniPlaces;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tt-install-cni-'));
  places = {
    directory: join(root, 'net.d'),
    binDirectories: [join(root, 'bin')],
    netavarkDirectories: [join(root, 'netavark')],
    program: '/somewhere/bin/tulle-cni',
    network: 'default',
    socket: DEFAULT_SOCKET,
  };
});
afterEach(() => rmSync(root, { recursive: true }));

const put = (file: string, text: string) => {
  mkdirSync(places.directory, { recursive: true });
  writeFileSync(join(places.directory, file), text);
};

test('the list is one that the plugin takes', () => {
  const list = JSON.parse(conflistText({ network: 'blue', socket: '/run/x.sock' })) as {
    readonly name: string;
    readonly cniVersion: string;
    readonly cniVersions: readonly string[];
    readonly plugins: readonly object[];
  };
  for (const cniVersion of [list.cniVersion, ...list.cniVersions]) {
    const config = JSON.stringify({ ...list.plugins[0], name: list.name, cniVersion });
    assert.equal(readCniConfig(config, false, new Map()).network, 'blue');
  }
});

test('what is installed is removed again, and nothing else', async () => {
  await installCni(await planCni(places, false));
  await installCni(await planCni({ ...places, network: 'blue' }, false));
  await installCni(await planCni(places, false));
  put('99-other.conflist', '{"name":"other","plugins":[{"type":"bridge"}]}');
  for (const path of ['bin/tulle', 'bin/tulle-ipam', 'netavark/tulle'])
    assert.equal(readlinkSync(join(root, path)), places.program);
  const list = readFileSync(join(places.directory, '10-tulle.conflist'), 'utf8');
  assert.equal(list, conflistText(places));
  assert.equal((await uninstallCni(places)).length, 5);
  assert.deepEqual(await uninstallCni(places), []);
  assert.ok(existsSync(join(places.directory, '99-other.conflist')));
});

describe('what is of others', () => {
  test('is not shadowed unless that is meant', async () => {
    put('87-podman.conflist', '{"name":"podman","plugins":[{"type":"bridge"}]}');
    await assert.rejects(planCni(places, false), {
      code: 'NOT_NOW',
      message: /87-podman\.conflist is the network/,
    });
    assert.deepEqual((await planCni(places, true)).notes, []);
    // That one is the first as before.
    put('05-flannel.conf', '{"name":"tulle","type":"flannel"}');
    const { notes } = await planCni(places, false);
    assert.match(notes.join('\n'), /05-flannel\.conf comes first[^]*has a network called tulle/);
  });

  test('is not overwritten', async () => {
    put('10-tulle.conflist', 'no JSON');
    await assert.rejects(planCni(places, true), { code: 'NOT_NOW', message: /not Tulle's/ });
    rmSync(join(places.directory, '10-tulle.conflist'));
    mkdirSync(join(root, 'bin'));
    symlinkSync('/elsewhere/tulle', join(root, 'bin/tulle'));
    await assert.rejects(planCni(places, true), { code: 'NOT_NOW', message: /no link to Tulle's plugin/ });
    assert.deepEqual(await uninstallCni(places), []);
  });
});

test('a file of any content is described', () => {
  for (const text of ['', 'null', '[]', '{"plugins":{}}', '{"plugins":[null]}', '{"name":1,"plugins":[{}]}'])
    assert.equal(describeConflist('x.conflist', text).isOurs, false);
  assert.deepEqual(describeConflist('x.conf', '{"name":"a","type":"tulle"}'), {
    file: 'x.conf',
    isOurs: true,
    name: 'a',
  });
});
