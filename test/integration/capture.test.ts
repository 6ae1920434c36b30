/** `tulle capture` on a real kernel: what it prints, what is in its file, and how it ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, mkdtempSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parseHex } from '../../src/base/bytes.ts';
import { decodeFrame } from '../../src/inspect/decode/decode-frame.ts';
import { layerOf } from '../../src/inspect/decode/layers.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { CaptureSocket } from '../../src/sys/capture-socket.ts';
import { close, sendto, socket } from '../../src/sys/libc.ts';
import { type RunningProcess, run, start } from '../../src/sys/process.ts';
import { openTun } from '../../src/sys/tun.ts';
import { ipPacket } from '../../src/testing/packets.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { Namespace } from '../support/neighbourhood.ts';
import { readPcapng } from '../support/pcapng.ts';
import { tunnelPair } from '../support/tunnel-pair.ts';

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'tt-capture-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** A running capture, which has begun or has ended already. */
class Capture {
  readonly process: RunningProcess;
  stdout = '';
  readonly ended: Promise<{
    readonly status: number | undefined;
    readonly stdout: string;
    readonly stderr: string;
  }>;

  private constructor(process: RunningProcess, logFile: string) {
    this.process = process;
    const { stdout } = process;
    assert.ok(stdout);
    stdout.setEncoding('utf8').on('data', (part: string) => (this.stdout += part));
    this.ended = Promise.all([process.exited, once(stdout, 'close')]).then(([{ status }]) => ({
      status,
      stdout: this.stdout,
      stderr: readFileSync(logFile, 'utf8'),
    }));
  }

  static async begin(t: TestContext, host: Namespace, ...args: string[]): Promise<Capture> {
    const logFile = join(directory(t), 'stderr');
    const { namespaces } = host;
    const process = await start(TULLE, ['capture', ...args], { pipeOutput: true, namespaces, logFile });
    t.after(() => process.kill('SIGKILL'));
    const capture = new Capture(process, logFile);
    let isOver = false;
    void process.exited.then(() => {
      isOver = true;
    });
    await eventually(
      'the capture begins, or is refused',
      async () => isOver || readFileSync(logFile, 'utf8').includes('end with Ctrl-C'),
    );
    return capture;
  }

  /** Resolves when a line that was printed has this in it. */
  async prints(text: string): Promise<void> {
    await eventually(
      `a frame: ${text}`,
      async () => this.stdout.includes(text) && this.stdout.endsWith('\n'),
    );
  }

  end(signal: NodeJS.Signals = 'SIGINT') {
    this.process.kill(signal);
    return within('the capture ends', this.ended);
  }
}

test(
  'a ping over a tunnel is two lines on the receiver, and two layers on the underlay',
  needsRoot,
  async t => {
    const { near, far } = await tunnelPair(t);
    const file = join(directory(t), 'ping.pcapng');
    const capture = await Capture.begin(
      t,
      far,
      'eth0',
      'vx1',
      '--filter',
      'icmp and host 10.9.0.1',
      '--to',
      file,
    );
    assert.ok(await near.reaches('10.9.0.2'));
    await capture.prints('vni 1 | 10.9.0.2 > 10.9.0.1');
    const { status, stdout, stderr } = await capture.end();
    assert.equal(status, 0, stderr);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map(line => line.replace(/^\d\d:\d\d:\d\d\.\d{3} /, ''));
    assert.deepEqual(lines, [
      'eth0 in  192.0.2.1 > 192.0.2.2 vni 1 | 10.9.0.1 > 10.9.0.2 ICMP echo request 1',
      'vx1  in  10.9.0.1 > 10.9.0.2 ICMP echo request 1',
      'vx1  out 10.9.0.2 > 10.9.0.1 ICMP echo reply 1',
      'eth0 out 192.0.2.2 > 192.0.2.1 vni 1 | 10.9.0.2 > 10.9.0.1 ICMP echo reply 1',
    ]);
    assert.match(stderr, /4 of \d+ frames passed the filter, 0 dropped by the kernel, written to \S+ping/);

    const { interfaces, packets } = readPcapng(readFileSync(file));
    assert.deepEqual(
      interfaces.map(({ name, linkType }) => [name, linkType]),
      [
        ['eth0', 1],
        ['vx1', 1],
      ],
    );
    assert.deepEqual(
      packets.map(({ interface: { name }, comment }) => `${name} ${comment}`),
      lines.map(line => line.replace(/ +(in|out) +/, ' ')),
    );
    const [request] = packets;
    assert.ok(request && Math.abs(Number(request.time / 1_000_000n) - Date.now()) < 60_000);
    assert.equal(request.flags, 1 + (1 << 2), 'inbound, to this host');
    assert.equal(packets[3]?.flags, 2, 'outbound');
    assert.equal(layerOf(decodeFrame(request.bytes), 'vxlan')?.vni, 1);
    // The copy on the device is what was in the tunnel.
    assert.deepEqual(request.bytes.subarray(50), packets[1]?.bytes);
  },
);

test('fragments, IPv6 and TCP, as they are', needsRoot, async t => {
  const { near, far } = await tunnelPair(t);
  const capture = await Capture.begin(t, far, 'vx1', '--json', '--filter', 'from 10.9.0.1 or from fd09::1');
  await near.do('ping -c 1 -s 3000 -W 30 10.9.0.2', 'ping -c 1 -s 2000 -W 30 fd09::2');
  // No program listens there: a SYN, and its refusal, which the filter leaves out.
  await run('curl', ['-s', '-m', '5', 'http://10.9.0.2:7070'], {
    namespaces: near.namespaces,
    anyStatus: true,
  });
  await capture.prints('"SYN"');
  const { stdout } = await capture.end();
  const layers = stdout
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as { layers: Record<string, unknown>[] }).layers);
  const offsets = layers.flatMap(all =>
    all.flatMap(item => (item['layer'] === 'ipv4' && item['protocol'] === 1 ? [item['fragmentOffset']] : [])),
  );
  assert.deepEqual(offsets, [0, 1424, 2848]);
  const parts = layers.flatMap(all =>
    all.flatMap(item => (item['fragment'] === undefined ? [] : [item['fragment']])),
  );
  assert.deepEqual(
    parts.map(part => (part as { offset: number; more: boolean }).more),
    [true, false],
  );
  const syn = layers.flat().find(item => item['layer'] === 'tcp');
  assert.deepEqual([syn?.['destinationPort'], syn?.['flags'], syn?.['mss']], [7070, ['SYN'], 1410]);
});

test('packets of a TUN device have no Ethernet header', needsRoot, async t => {
  const host = new Namespace(t);
  const fd = host.netns.run(() => openTun('tt-tun', { persist: false }));
  t.after(() => closeSync(fd));
  await host.do('ip addr add 10.7.0.1/24 dev tt-tun', 'ip link set tt-tun up');
  const file = join(directory(t), 'tun.pcapng');
  const capture = await Capture.begin(t, host, 'tt-tun', '--count', '1', '--filter', 'ipv4', '--to', file);
  const packet = ipPacket({ from: '10.7.0.9', to: '10.7.0.1', protocol: 253 }, new Uint8Array(5));
  writeSync(fd, packet);
  const { status, stdout } = await within('one frame', capture.ended);
  assert.equal(status, 0);
  assert.match(stdout, /tt-tun in {2}10\.7\.0\.9 > 10\.7\.0\.1 protocol 253, 5 bytes\n$/);
  const { packets } = readPcapng(readFileSync(file));
  assert.equal(packets.length, 1);
  assert.equal(packets[0]?.interface.linkType, 101);
  assert.deepEqual(packets[0].bytes, packet);
});

test('a tag that the kernel took out of a frame is back in its place', needsRoot, async t => {
  const { near, far } = await tunnelPair(t);
  const capture = await Capture.begin(t, far, 'eth0', '--count', '1', '--filter', 'vlan');
  const request = ipPacket(
    { from: '10.4.0.1', to: '10.4.0.2', protocol: 1 },
    parseHex('0800 0000 0001 0001'),
  );
  await sendFrame(near, Uint8Array.of(...parseHex('ffffffffffff 020000000001 8100 6064 0800'), ...request));
  const { stdout } = await within('one frame', capture.ended);
  assert.match(stdout, /eth0 in {2}vlan 100 10\.4\.0\.1 > 10\.4\.0\.2 ICMP echo request 1\n/);
});

/** Sends it over eth0 as it is. */
async function sendFrame({ netns }: Namespace, bytes: Uint8Array): Promise<void> {
  await using rtnetlink = connectRoute({ netns });
  const link = await rtnetlink.links.get('eth0');
  // struct sockaddr_ll: AF_PACKET, no protocol, the index.
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, 17, true);
  view.setInt32(4, link?.index ?? 0, true);
  const fd = netns.run(() => socket(17, 3, 0));
  try {
    assert.equal(sendto(fd, bytes, address), bytes.length);
  } finally {
    close(fd);
  }
}

test(
  'a file is whole after SIGKILL, and a reader that stops reading does not make memory grow',
  needsRoot,
  async t => {
    const { near, far } = await tunnelPair(t);
    const file = join(directory(t), 'a.pcapng');
    const capture = await Capture.begin(t, far, 'eth0', '--to', file);
    capture.process.stdout?.pause();
    await near.do('ping -q -f -c 3000 -s 100 10.9.0.2');
    let last = -1;
    let looks = 0;
    await eventually('the capture waits for its reader', async () => {
      const { size } = statSync(file);
      looks = size === last ? looks + 1 : 0;
      last = size;
      return size > 50_000 && looks >= 10;
    });
    capture.process.kill('SIGKILL');
    capture.process.stdout?.resume();
    await within('the capture ends', capture.ended);
    const { packets } = readPcapng(readFileSync(file));
    assert.ok(packets.length > 50 && packets.length < 5000, `${packets.length} of 6,000 were taken`);
  },
);

test('the kernel counts what it has no room for', needsRoot, async t => {
  const host = new Namespace(t);
  await host.do('ip link set lo up');
  using frames = CaptureSocket.open(host.netns, { links: [1] });
  assert.equal(frames.dropped, 0);
  await host.do('ping -q -c 4000 -f -s 10000 127.0.0.1');
  let seen = 0;
  // Each of 4,000 requests and replies leaves and arrives, the last ones perhaps when ping has ended.
  await eventually('all frames are seen or dropped', async () => {
    for (let batch = frames.receive(); batch.length > 0; batch = frames.receive()) seen += batch.length;
    return seen + frames.dropped >= 16_000;
  });
  const { dropped } = frames;
  assert.ok(dropped > 0);
  assert.equal(frames.dropped, dropped, 'the kernel forgets its count when it is asked');
  assert.equal(seen + dropped, 16_000);
  await assert.rejects(frames.readable(deadline('nothing more', 50)), /nothing more/);
});

test('what cannot be captured is refused with a way on', needsRoot, async t => {
  const host = new Namespace(t);
  const refused = async (...args: string[]) => {
    const capture = await Capture.begin(t, host, '--socket', '/nonexistent/tt.sock', ...args);
    return within('the refusal', capture.ended);
  };
  for (const [args, status, reason] of [
    [[], 2, /no link is given, and no agent runs[^]*--all-links/],
    [['eth9'], 7, /no link eth9[^]*there are lo/],
    [['lo', '--all-links'], 2, /links are given, and --all-links/],
    [['lo', '--quiet'], 2, /neither shown nor kept[^]*--to/],
    [['lo', '--force'], 2, /--force is about the file/],
    [['lo', '--json', '--verbose'], 2, /cannot be used with/],
    [['lo', '--count', '0'], 2, /--count/],
    [['lo', '--filter', 'vni x'], 2, /a VNI is a number[^]*want for example/],
    [['lo', '--to', '/etc/hostname/a.pcapng'], 1, /\/etc\/hostname\/a\.pcapng cannot be written/],
  ] as const) {
    const result = await refused(...args);
    assert.equal(result.status, status, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, reason);
  }
});
