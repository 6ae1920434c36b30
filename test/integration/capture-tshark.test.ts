/** Our decoder and Wireshark's, on the same file: every field of every frame. `npm test` installs tshark. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { run, start } from '../../src/sys/process.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { agreementOn, agreementText } from '../support/agreement.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { readPcapng } from '../support/pcapng.ts';
import { needsTshark } from '../support/tshark.ts';
import { tunnelPair } from '../support/tunnel-pair.ts';

test('our decoder agrees with tshark field by field, and both see VNI 1 and the ping in it', {
  ...needsTshark,
}, async t => {
  const { near, far } = await tunnelPair(t);
  const directory = mkdtempSync(join(tmpdir(), 'tt-tshark-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [file, logFile] = [join(directory, 'a.pcapng'), join(directory, 'log')];
  const args = ['capture', 'eth0', 'vx1', '--to', file, '--quiet'];
  const capture = await start(TULLE, args, { namespaces: far.namespaces, logFile });
  t.after(() => capture.kill('SIGKILL'));
  await waitForFile(logFile, deadline('the capture begins'), text => text.includes('Ctrl-C'));

  const pings = ['-c 2 -i 0.2 10.9.0.2', '-c 1 -s 3000 10.9.0.2', '-c 1 fd09::2', '-c 1 -s 2000 fd09::2'];
  await near.do(...pings.map(words => `ping ${words}`));
  // An error that quotes: no program listens at these ports, and one packet has no time to live.
  const anyway = { namespaces: near.namespaces, anyStatus: true };
  await run('curl', ['-s', '-m', '5', 'http://10.9.0.2:7070'], anyway);
  await run('curl', ['-s', '-m', '5', 'http://[fd09::2]:7070'], anyway);
  // The kernel sends only so many errors at a time, over all namespaces.
  await eventually('the error is in the file', async () => {
    await run('bash', ['-c', 'echo hello > /dev/udp/10.9.0.2/7071'], anyway);
    return readPcapng(readFileSync(file)).packets.some(({ comment }) => comment.includes('port unreachable'));
  });
  capture.kill('SIGINT');
  assert.equal((await within('the capture ends', capture.exited)).status, 0);

  const agreement = await agreementOn(file);
  t.diagnostic(agreementText(agreement));
  assert.deepEqual([...agreement.vnis], ['1']);
  assert.ok(agreement.stacks.has('ethernet ipv4 udp vxlan ethernet ipv4 icmp'));
  assert.ok(agreement.stacks.has('ethernet ipv4 udp vxlan ethernet ipv6 icmpv6'));
});
