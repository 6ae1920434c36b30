/** Our decoder and Wireshark's, on the same file: every field of every frame. `npm test` installs tshark. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { decodeFrame } from '../../src/inspect/decode/decode-frame.ts';
import { type Layer, TCP_FLAGS } from '../../src/inspect/decode/layers.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { run, start } from '../../src/sys/process.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { requires } from '../support/capabilities.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { readPcapng } from '../support/pcapng.ts';
import { tunnelPair } from '../support/tunnel-pair.ts';

type Value = string | number | boolean | undefined;

/** Wireshark's name of a field -> what our layers have for it. */
const FIELDS: Readonly<Record<string, (layer: Layer) => Value>> = {
  'eth.src': item => (item.layer === 'ethernet' ? `${item.source}` : undefined),
  'eth.dst': item => (item.layer === 'ethernet' ? `${item.destination}` : undefined),
  'eth.type': item => (item.layer === 'ethernet' ? item.type : undefined),
  'arp.opcode': item => (item.layer === 'arp' ? item.operation : undefined),
  'arp.src.hw_mac': item => (item.layer === 'arp' ? `${item.senderMac}` : undefined),
  'arp.src.proto_ipv4': item => (item.layer === 'arp' ? `${item.sender}` : undefined),
  'arp.dst.hw_mac': item => (item.layer === 'arp' ? `${item.targetMac}` : undefined),
  'arp.dst.proto_ipv4': item => (item.layer === 'arp' ? `${item.target}` : undefined),
  'ip.src': item => (item.layer === 'ipv4' ? `${item.source}` : undefined),
  'ip.dst': item => (item.layer === 'ipv4' ? `${item.destination}` : undefined),
  'ip.ttl': item => (item.layer === 'ipv4' ? item.ttl : undefined),
  'ip.proto': item => (item.layer === 'ipv4' ? item.protocol : undefined),
  'ip.dsfield': item => (item.layer === 'ipv4' ? item.tos : undefined),
  'ip.id': item => (item.layer === 'ipv4' ? item.id : undefined),
  'ip.len': item => (item.layer === 'ipv4' ? item.totalLength : undefined),
  'ip.hdr_len': item => (item.layer === 'ipv4' ? item.headerLength : undefined),
  'ip.flags.df': item => (item.layer === 'ipv4' ? item.dontFragment : undefined),
  'ip.flags.mf': item => (item.layer === 'ipv4' ? item.moreFragments : undefined),
  'ip.frag_offset': item => (item.layer === 'ipv4' ? item.fragmentOffset / 8 : undefined),
  'ip.checksum': item => (item.layer === 'ipv4' ? item.checksum : undefined),
  'ipv6.src': item => (item.layer === 'ipv6' ? `${item.source}` : undefined),
  'ipv6.dst': item => (item.layer === 'ipv6' ? `${item.destination}` : undefined),
  'ipv6.hlim': item => (item.layer === 'ipv6' ? item.hopLimit : undefined),
  'ipv6.nxt': item => (item.layer === 'ipv6' ? item.nextHeader : undefined),
  'ipv6.plen': item => (item.layer === 'ipv6' ? item.payloadLength : undefined),
  'ipv6.flow': item => (item.layer === 'ipv6' ? item.flowLabel : undefined),
  'ipv6.fraghdr.ident': item => (item.layer === 'ipv6-extension' ? item.fragment?.id : undefined),
  'ipv6.fraghdr.more': item => (item.layer === 'ipv6-extension' ? item.fragment?.more : undefined),
  'icmp.type': item => (item.layer === 'icmp' ? item.type : undefined),
  'icmp.code': item => (item.layer === 'icmp' ? item.code : undefined),
  'icmp.checksum': item => (item.layer === 'icmp' ? item.checksum : undefined),
  'icmp.seq': item => (item.layer === 'icmp' ? item.sequence : undefined),
  'icmp.mtu': item => (item.layer === 'icmp' ? item.mtu : undefined),
  'icmpv6.type': item => (item.layer === 'icmpv6' ? item.type : undefined),
  'icmpv6.code': item => (item.layer === 'icmpv6' ? item.code : undefined),
  'icmpv6.checksum': item => (item.layer === 'icmpv6' ? item.checksum : undefined),
  'icmpv6.echo.identifier': item => (item.layer === 'icmpv6' ? item.id : undefined),
  'icmpv6.echo.sequence_number': item => (item.layer === 'icmpv6' ? item.sequence : undefined),
  'icmpv6.nd.ns.target_address': item => targetOf(item, 135),
  'icmpv6.nd.na.target_address': item => targetOf(item, 136),
  'icmpv6.opt.linkaddr': item =>
    item.layer === 'icmpv6' && item.mac !== undefined ? `${item.mac}` : undefined,
  'tcp.srcport': item => (item.layer === 'tcp' ? item.sourcePort : undefined),
  'tcp.dstport': item => (item.layer === 'tcp' ? item.destinationPort : undefined),
  'tcp.seq_raw': item => (item.layer === 'tcp' ? item.sequence : undefined),
  'tcp.ack_raw': item => (item.layer === 'tcp' ? item.acknowledgement : undefined),
  'tcp.flags': item =>
    item.layer === 'tcp' && item.flags !== undefined
      ? item.flags.reduce((bits, flag) => bits | (1 << TCP_FLAGS.indexOf(flag)), 0)
      : undefined,
  'tcp.window_size_value': item => (item.layer === 'tcp' ? item.window : undefined),
  'tcp.checksum': item => (item.layer === 'tcp' ? item.checksum : undefined),
  'tcp.options.mss_val': item => (item.layer === 'tcp' ? item.mss : undefined),
  'udp.srcport': item => (item.layer === 'udp' ? item.sourcePort : undefined),
  'udp.dstport': item => (item.layer === 'udp' ? item.destinationPort : undefined),
  'udp.length': item => (item.layer === 'udp' ? item.length : undefined),
  'udp.checksum': item => (item.layer === 'udp' ? item.checksum : undefined),
  'vxlan.vni': item => (item.layer === 'vxlan' ? item.vni : undefined),
};

const targetOf = (item: Layer, type: number) =>
  item.layer === 'icmpv6' && item.type === type ? `${item.target}` : undefined;

/** Numbers come in both bases, and flags as words or digits. */
const plain = (value: Value): string => {
  const text = String(value);
  if (/^(true|false)$/i.test(text)) return /true/i.test(text) ? '1' : '0';
  return /^(0x[0-9a-f]+|\d+)$/.test(text) ? String(Number(text)) : text;
};

/** A layer, then what it quotes. */
const withQuoted = (layers: readonly Layer[]): Layer[] =>
  layers.flatMap(item => [item, ...('quoted' in item ? withQuoted(item.quoted ?? []) : [])]);

const hasTshark = process.getuid?.() === 0 && (await canRun('tshark'));

async function canRun(program: string): Promise<boolean> {
  return run(program, ['--version']).then(
    () => true,
    () => false,
  );
}

test('our decoder agrees with tshark field by field, and both see VNI 1 and the ping in it', {
  ...requires(hasTshark, 'needs root and tshark (apt-get install tshark)'),
}, async t => {
  const { near, far } = await tunnelPair(t);
  const directory = mkdtempSync(join(tmpdir(), 'tt-tshark-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [file, logFile] = [join(directory, 'a.pcapng'), join(directory, 'log')];
  const args = ['capture', 'eth0', 'vx1', '--to', file, '--quiet'];
  const capture = await start(TULLE, args, { namespaces: far.namespaces, logFile });
  t.after(() => capture.kill('SIGKILL'));
  await waitForFile(logFile, deadline('the capture begins'), text => text.includes('Ctrl-C'));

  await near.do('ping -c 2 -i 0.2 10.9.0.2', 'ping -c 1 -s 3000 10.9.0.2', 'ping -c 1 -s 2000 fd09::2');
  // An error that quotes: no program listens at these ports, and one packet has no time to live.
  const anyway = { namespaces: near.namespaces, anyStatus: true };
  await run('curl', ['-s', '-m', '5', 'http://10.9.0.2:7070'], anyway);
  await run('curl', ['-s', '-m', '5', 'http://[fd09::2]:7070'], anyway);
  await run('bash', ['-c', 'echo hello > /dev/udp/10.9.0.2/7071'], anyway);
  await eventually('the error is in the file', async () =>
    readPcapng(readFileSync(file)).packets.some(({ comment }) => comment.includes('port unreachable')),
  );
  capture.kill('SIGINT');
  assert.equal((await within('the capture ends', capture.exited)).status, 0);

  const names = Object.keys(FIELDS);
  const { stdout, stderr } = await run('tshark', [
    '-r',
    file,
    '-n',
    '-T',
    'fields',
    '-E',
    'occurrence=a',
    '-E',
    'aggregator=,',
    '-o',
    'ip.defragment:FALSE',
    '-o',
    'ipv6.defragment:FALSE',
    ...names.flatMap(name => ['-e', name]),
  ]);
  const rows = stdout.split('\n').slice(0, -1);
  const { packets } = readPcapng(readFileSync(file));
  assert.equal(rows.length, packets.length, stderr);
  let compared = 0;
  for (const [index, { bytes }] of packets.entries()) {
    const layers = withQuoted(decodeFrame(bytes));
    const cells = rows[index]?.split('\t') ?? [];
    for (const [at, [name, read]] of Object.entries(FIELDS).entries()) {
      const theirs = (cells[at] ?? '').split(',').filter(Boolean).map(plain);
      const ours = layers.flatMap(layer => read(layer) ?? []).map(plain);
      assert.deepEqual(ours, theirs, `${name} of frame ${index + 1}: ${packets[index]?.comment}`);
      compared += ours.length;
    }
  }
  t.diagnostic(`${packets.length} frames, ${compared} fields`);
  const pings = rows.filter(row => row.split('\t')[names.indexOf('icmp.type')] === '8');
  assert.ok(pings.some(row => row.split('\t')[names.indexOf('vxlan.vni')] === '1'));
});
