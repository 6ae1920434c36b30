/** What reaches the terminal of a person: commands as they are, on a terminal of 80 columns. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { serveAsAgent } from '../support/fake-agent.ts';
import { healthyPeer, status, T0 } from '../support/status.ts';
import { onTerminal, withoutColour } from '../support/terminal.ts';
import { TulleStore } from '../support/tulle-store.ts';

/** A cleared screen, a line that begins anew, one that runs backwards, a colour, an 8-bit CSI, a second line. */
const HOSTILE = 'x\u001b[2J\u001b[31m\r\u202e\u009b1m\u200b\nREADY';
const ESCAPED = /x\\u001b\[2J\\u001b\[31m(?:\\u000d|\\r)\\u202e\\u009b1m\\u200b/;

function assertHarmless(text: string): void {
  assert.doesNotMatch(withoutColour(text), /[^\P{C}\n]/u);
  assert.match(text, ESCAPED);
  assert.doesNotMatch(text, /^READY/m);
}

/** What an agent answers to its clients: its status, one event, and a refusal of every command. */
const answers =
  (parts: { readonly status: object; readonly event: object; readonly refusal: object }): RequestListener =>
  (request, response) => {
    if (request.method === 'POST') response.writeHead(500).end(JSON.stringify(parts.refusal));
    else if (request.url?.startsWith('/v1/events') === true) response.end(`${JSON.stringify(parts.event)}\n`);
    else response.end(JSON.stringify(parts.status));
  };

describe('I1: text from outside is escaped', () => {
  const refusal = { code: 'X', message: `no: ${HOSTILE}`, hint: HOSTILE };
  const event = {
    id: 1,
    time: T0,
    severity: 'warning',
    type: 'state',
    text: HOSTILE,
    fields: { key: HOSTILE },
  };
  const socket = serveAsAgent(answers({ status: hostileStatus(), event, refusal }));
  const tulle = (...args: string[]) => onTerminal(TULLE, [...args, '--socket', socket]);

  for (const [where, ...args] of [
    ['the status', 'status'],
    ['the status with all peers', 'status', '--all'],
    ['the status of one peer', 'status', '--peer', '188.172.9.2'],
    ['the status as JSON', 'status', '--json'],
    ['events', 'events'],
    ['events as JSON', 'events', '--json'],
    ['errors and hints', 'status', '--resync'],
  ] as const) {
    test(`in ${where}`, async () => assertHarmless((await tulle(...args)).text));
  }

  test('in a command line that is wrong', async () => {
    assertHarmless((await tulle(HOSTILE)).text);
    assertHarmless((await onTerminal(TULLE, ['lab', 'down', '--name', HOSTILE])).text);
  });

  test('in leases, and in keys that are none', async t => {
    const store = await TulleStore.start();
    t.after(() => store[Symbol.asyncDispose]());
    const lease = JSON.stringify({ PublicIP: '192.0.2.4', BackendType: HOSTILE, TulleHost: HOSTILE });
    await store.ctl('put', '/coreos.com/network/subnets/10.5.34.0-24', lease);
    await store.ctl('put', `/coreos.com/network/subnets/${HOSTILE}`, '{}');
    for (const words of [['list'], ['list', '--json'], ['show', '10.5.34.0/24']]) {
      assertHarmless((await onTerminal(TULLE, ['lease', ...words, '--etcd-endpoints', store.url])).text);
    }
  });
});

describe('I7: on a terminal of 80 columns, and of its width', () => {
  const sentence = 'the kernel refuses the route because another program has put one of its own there';
  const peers = Array.from({ length: 6 }, (_, index) => ({
    ...healthyPeer,
    key: `188.172.${index}.0-24&fd00:${index}::-64`,
    subnet: { ipv4: `188.172.${index}.0/24`, ipv6: `fd00:${index}::/64` },
    hostId: `1645bc4e-1366-4a0a-a5b3-fbab5502377${index}`,
    state: index === 0 ? 'failed' : 'ok',
    ...(index === 0 ? { reason: sentence } : {}),
  }));
  const warning = {
    code: 'NO_CARRIER',
    severity: 'warning',
    title: sentence,
    text: sentence,
    hint: sentence,
    since: T0,
  };
  const event = {
    id: 1,
    time: T0,
    severity: 'warning',
    type: 'state',
    text: `${sentence}: ${sentence}`,
    fields: {},
  };
  const refusal = { code: 'X', message: `${sentence}: ${sentence}`, hint: sentence };
  const socket = serveAsAgent(answers({ status: status({ peers, warnings: [warning] }), event, refusal }));

  for (const words of [
    ['status'],
    ['status', '--all'],
    ['status', '--peer', '188.172.0.0/24'],
    ['status', '--resync'],
    ['events'],
    ['status', '--help'],
  ]) {
    test(`tulle ${words.join(' ')} fits, and breaks no word`, async () => {
      const shown = async (columns: number) => {
        const args = words.includes('--help') ? words : [...words, '--socket', socket];
        return withoutColour((await onTerminal(TULLE, args, { columns })).text)
          .trimEnd()
          .split('\n');
      };
      const [narrow, wide] = [await shown(80), await shown(132)];
      assert.deepEqual(
        narrow.filter(line => line.length > 80),
        [],
      );
      assert.deepEqual(
        wide.filter(line => line.length > 132),
        [],
      );
      if (!words.includes('--help'))
        assert.ok(
          wide.some(line => line.length > 80),
          wide.join('\n'),
        );
      const known = new Set(wide.flatMap(line => line.split(/\s+/)));
      const broken = narrow.flatMap(line => line.split(/\s+/)).filter(word => !known.has(word));
      // Ages go on between the two.
      assert.deepEqual(
        broken.filter(word => !/^[\d.]+$/.test(word)),
        [],
      );
    });
  }
});

describe('I8: the log of a daemon', () => {
  const program = `
    import { openLog } from ${JSON.stringify(import.meta.resolve('../../src/console/daemon-log.ts'))};
    openLog(0, process.argv[1]).warn({ peer: '10.5.3.0-24' }, 'gone');
  `;
  const args = (format: string) => ['--input-type=module', '-e', program, format];
  const WORDS = /^\d{4}-\d\d-\d\d [\d:.]+Z {2}warn {3}gone {2}peer=10\.5\.3\.0-24\n$/;
  const JSON_LINE = /^\{"level":"warn","time":"[^"]+","peer":"10\.5\.3\.0-24","msg":"gone"\}\n$/;

  test('is words on a terminal and JSON elsewhere', async () => {
    assert.match(withoutColour((await onTerminal(process.execPath, args('auto'))).text), WORDS);
    assert.match((await run(process.execPath, args('auto'))).stderr, JSON_LINE);
  });

  test('is what is asked for in both places', async () => {
    assert.match((await onTerminal(process.execPath, args('json'))).text, JSON_LINE);
    assert.match((await run(process.execPath, args('text'))).stderr, WORDS);
  });
});

test('I12: a user who may not ask the agent gets a hint to become root', needsRoot, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-root-'));
  const socket = join(directory, 'agent.sock');
  const server = createServer();
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  await new Promise<void>(resolve => server.listen(socket, resolve));
  chmodSync(directory, 0o755);
  chmodSync(socket, 0o600);
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  for (const words of [['status'], ['lease', 'list'], ['config', 'get'], ['events']]) {
    const { status: exit, stderr } = await run('setpriv', [...nobody, TULLE, ...words, '--socket', socket], {
      anyStatus: true,
      cwd: '/',
    });
    assert.match(
      stderr,
      /^tulle: error: permission denied: only root can use .*agent\.sock\nhint: run the command with sudo\n$/,
    );
    assert.equal(exit, 6);
  }
});

function hostileStatus() {
  const peer = {
    ...healthyPeer,
    backendType: HOSTILE,
    hostId: HOSTILE,
    state: 'failed',
    reason: HOSTILE,
    actual: [HOSTILE],
  };
  const warning = {
    code: 'NO_CARRIER',
    severity: 'warning',
    title: HOSTILE,
    text: HOSTILE,
    hint: HOSTILE,
    since: T0,
  };
  const underlay = {
    link: { name: HOSTILE, index: 2, mtu: 1500 },
    ip: { ipv4: HOSTILE },
    publicIp: { ipv6: HOSTILE },
    chosenBy: HOSTILE,
  };
  const condition = { name: 'store', ok: false, required: false, reason: HOSTILE, hint: HOSTILE, since: T0 };
  return status({ peers: [peer], warnings: [warning], underlay, conditions: [condition] });
}
