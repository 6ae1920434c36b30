import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readPcapng } from '../../../test/support/pcapng.ts';
import { CommandError } from '../../console/errors.ts';
import { CaptureFile } from './capture-file.ts';

const INTERFACES = [
  { name: 'eth0', linkType: 'ethernet', snapshot: 65_600 },
  { name: 'flannel0', linkType: 'ip', snapshot: 65_600 },
] as const;

function pathOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'tt-capture-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'a.pcapng');
}

const packet = { interface: 0, time: 1n, length: 5, direction: 'in', comment: '' } as const;

test('what is written is read, at any moment', t => {
  const path = pathOf(t);
  const time = 1_790_000_000_123_456_789n;
  using file = CaptureFile.create(path, INTERFACES);
  assert.equal(statSync(path).mode & 0o77, 0, 'only for its owner');
  assert.equal(readPcapng(readFileSync(path)).packets.length, 0);
  for (let size = 0; size < 9; size++) {
    file.add({
      interface: size % 2,
      time: time + BigInt(size),
      bytes: new Uint8Array(size).fill(size),
      length: size + 100,
      direction: size % 2 === 0 ? 'in' : 'out',
      reception: 'broadcast',
      comment: 'größer '.repeat(size),
    });
    file.flush();
    assert.equal(readPcapng(readFileSync(path)).packets.length, size + 1);
  }
  const { interfaces, packets, application } = readPcapng(readFileSync(path));
  assert.match(application, /^tulle \d/);
  assert.deepEqual(interfaces, [
    { name: 'eth0', linkType: 1, snapshot: 65_600, resolution: 9 },
    { name: 'flannel0', linkType: 101, snapshot: 65_600, resolution: 9 },
  ]);
  assert.deepEqual(packets[7], {
    interface: interfaces[1],
    time: time + 7n,
    bytes: new Uint8Array(7).fill(7),
    length: 107,
    flags: 2 + (3 << 2),
    comment: 'größer '.repeat(7),
  });
});

test('many frames are written before there are too many of them', t => {
  const path = pathOf(t);
  using file = CaptureFile.create(path, INTERFACES);
  const bytes = new Uint8Array(60_000);
  for (let count = 0; count < 40; count++) file.add({ ...packet, bytes, length: 60_000 });
  assert.ok(statSync(path).size > 1 << 20);
  file.flush();
  assert.equal(readPcapng(readFileSync(path)).packets.length, 40);
});

test('a file that exists is kept, unless it is to be replaced', t => {
  const path = pathOf(t);
  writeFileSync(path, 'precious');
  const refusal = (error: CommandError) => /--force/.test(error.hint ?? '') && error.code === 'NOT_NOW';
  assert.throws(() => CaptureFile.create(path, INTERFACES), refusal);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  using _ = CaptureFile.create(path, INTERFACES, { force: true });
  assert.equal(readPcapng(readFileSync(path)).interfaces.length, 2);
});

test('a place that cannot be written to is named', t => {
  const path = join(pathOf(t), 'no', 'such');
  assert.throws(
    () => CaptureFile.create(path, INTERFACES),
    (error: CommandError) => error.code === 'FAILED' && error.message.includes(path),
  );
});

test('a disk that is full is an error', { skip: !existsSync('/dev/full') && 'there is no /dev/full' }, () => {
  assert.throws(
    () => CaptureFile.create('/dev/full', INTERFACES, { force: true }),
    (error: CommandError) => /ENOSPC/.test(error.message) && /df/.test(error.hint ?? ''),
  );
});
