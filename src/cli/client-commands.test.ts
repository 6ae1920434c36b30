import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { serveAsAgent } from '../../test/support/fake-agent.ts';
import { printed } from '../../test/support/output.ts';
import { healthyPeer, status, T0 } from '../../test/support/status.ts';
import { type CommandEntry, runProgram } from '../console/program.ts';
import { eventsCommand } from './events-command.ts';
import { portsCommand } from './ports-command.ts';
import { statusCommand } from './status-command.ts';

const COMMANDS: readonly CommandEntry[] = [
  { name: 'status', group: 'This host:', summary: '', load: async () => statusCommand() },
  { name: 'events', group: 'This host:', summary: '', load: async () => eventsCommand() },
  { name: 'ports', group: 'This host:', summary: '', load: async () => portsCommand() },
];

const EVENTS = [
  { id: 1, time: T0, severity: 'info', type: 'lease-acquired', text: 'leased 10.5.3.0/24', fields: {} },
  {
    id: 2,
    time: T0,
    severity: 'warning',
    type: 'drift-repaired',
    text: 'restored: a route',
    fields: { count: 1 },
  },
];

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate();
}

describe('a client of the agent', () => {
  let answer: RequestListener;
  const socket = serveAsAgent((request, response) => answer(request, response));

  const tulle = async (t: TestContext, ...argv: string[]) => {
    const { result, out, err } = await printed(t, () => runProgram(COMMANDS, argv));
    // The status of a command that found something is also that of the process, which here is the test's.
    process.exitCode = undefined;
    return { exit: result, out, err };
  };
  const answerStatus = (changes: object = {}) => {
    answer = (_, response) => void response.end(JSON.stringify(status(changes)));
  };

  test('status prints the screen, or the document as it came', async t => {
    answerStatus();
    const screen = await tulle(t, 'status', '--socket', socket);
    assert.equal(screen.exit, 0);
    assert.match(screen.out, /^host +docker1, tulle 0\.1\.0/);
    const json = await tulle(t, 'status', '--json', '--socket', socket);
    assert.deepEqual(JSON.parse(json.out), status());
  });

  test('status of a host that is not ready ends with 3, and without an agent with 4', async t => {
    answerStatus({ agent: { state: 'waiting', reason: 'no lease', since: T0, ready: false } });
    assert.equal((await tulle(t, 'status', '--socket', socket)).exit, 3);
    const missing = await tulle(t, 'status', '--socket', `${socket}-none`);
    assert.equal(missing.exit, 4);
    assert.match(missing.err, /^tulle: error: no agent listens at .*\nhint: .*\n$/);
  });

  test('I2: the exit status of status says whether containers can talk, also to one peer', async t => {
    const off = { code: 'FORWARDING_OFF', title: 'no forwarding', text: 'off', since: T0 };
    const peer = ['--peer', '188.172.9.2'];
    const exits = async (changes: object) => {
      answer = (request, response) =>
        void response.end(request.url === '/v1/status' ? JSON.stringify(status(changes)) : '');
      const [host, one] = [
        await tulle(t, 'status', '--socket', socket),
        await tulle(t, 'status', ...peer, '--socket', socket),
      ];
      return [host.exit, one.exit];
    };
    assert.deepEqual(await exits({}), [0, 0]);
    assert.deepEqual(await exits({ warnings: [{ ...off, severity: 'error' }] }), [3, 3]);
    assert.deepEqual(await exits({ warnings: [{ ...off, severity: 'warning' }] }), [0, 0]);
    const shared = {
      ...off,
      code: 'SHARED_PUBLIC_IP',
      severity: 'warning',
      text: 'several have 192.168.65.4',
    };
    assert.deepEqual(await exits({ warnings: [shared] }), [0, 3]);
    assert.deepEqual(await exits({ peers: [{ ...healthyPeer, state: 'failed' }] }), [0, 3]);
    const waiting = { state: 'waiting', reason: 'no underlay', since: T0, ready: false };
    assert.deepEqual(await exits({ agent: waiting }), [3, 3]);
  });

  test('status --resync has the kernel compared first, and reports what could not be repaired', async t => {
    const asked: string[] = [];
    answer = (request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const resynced = { inSync: false, writes: 1, failures: ['route 10.3.9.0/24: no such device'] };
      const body = JSON.stringify(request.url === '/v1/resync' ? resynced : status());
      // Whoever does not wait for the answer has asked for the status by then.
      void turns(500).then(() => {
        asked.push(`answer to ${request.url}`);
        response.end(body);
      });
    };
    const { err, exit } = await tulle(t, 'status', '--resync', '--socket', socket);
    assert.deepEqual(asked, [
      'POST /v1/resync',
      'answer to /v1/resync',
      'GET /v1/status',
      'answer to /v1/status',
    ]);
    assert.equal(err, 'tulle: warning: route 10.3.9.0/24: no such device\n');
    assert.equal(exit, 0);
    answer = (request, response) => {
      const resynced = { inSync: true, writes: 2, failures: [] };
      response.end(JSON.stringify(request.url === '/v1/resync' ? resynced : status()));
    };
    const repaired = await tulle(t, 'status', '--resync', '--socket', socket);
    assert.equal(repaired.err, 'compared with the kernel: 2 writes\n');
  });

  test('events prints one line each, or one document per line', async t => {
    const asked: string[] = [];
    answer = (request, response) => {
      asked.push(request.url ?? '');
      response.end(EVENTS.map(event => `${JSON.stringify(event)}\n`).join(''));
    };
    const lines = await tulle(t, 'events', '--after', '0', '--socket', socket);
    assert.equal(
      lines.out,
      '2026-01-02 03:00:00.000Z  lease-acquired    leased 10.5.3.0/24\n' +
        '2026-01-02 03:00:00.000Z  drift-repaired    restored: a route\n',
    );
    const json = await tulle(t, 'events', '--json', '--socket', socket);
    assert.deepEqual(
      json.out
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line) as unknown),
      EVENTS,
    );
    assert.deepEqual(asked, ['/v1/events?after=0', '/v1/events?after=0']);
  });

  test('events shows only what is asked for, and says so when that is nothing', async t => {
    answer = (_, response) => void response.end(EVENTS.map(event => `${JSON.stringify(event)}\n`).join(''));
    const shown = async (...options: string[]) => {
      const { out, err } = await tulle(t, 'events', '--json', '--socket', socket, ...options);
      return { ids: [...out.matchAll(/"id":(\d+)/g)].map(([, id]) => Number(id)), err };
    };
    assert.deepEqual((await shown('--type', 'state,drift-repaired')).ids, [2]);
    assert.deepEqual((await shown('--severity', 'warning')).ids, [2]);
    assert.deepEqual((await shown('--last', '1')).ids, [2]);
    assert.deepEqual((await shown('--last', '1', '--type', 'lease-acquired')).ids, [1]);
    assert.deepEqual((await shown('--last', '0')).ids, []);
    assert.deepEqual(await shown('--severity', 'error'), {
      ids: [],
      err: 'none of the 2 events that the agent remembers\n',
    });
    const ageDays = (Date.now() - Date.parse(T0)) / 86_400_000;
    assert.deepEqual((await shown('--since', '1m')).ids, []);
    assert.deepEqual((await shown('--since', `${Math.ceil(ageDays) + 1}d`)).ids, [1, 2]);
    const wrong = await tulle(
      t,
      'events',
      '--severity',
      'loud',
      '--type',
      'A b',
      '--since',
      '5',
      '--last',
      'x',
    );
    assert.equal(wrong.exit, 2);
    assert.match(wrong.err, /4 problems/);
  });

  test('I12: events of a type that there is not are refused with the types there are', async t => {
    const { exit, err } = await tulle(t, 'events', '--type', 'state,nosuch', '--socket', socket);
    assert.equal(exit, 2);
    assert.match(err, /"nosuch" is not a type of event: want start, stop, state, .*peer-added/);
  });

  test('events --follow goes on behind what was remembered', async t => {
    const asked: string[] = [];
    answer = (request, response) => {
      asked.push(request.url ?? '');
      const [event] = request.url?.includes('follow') === true ? [{ ...EVENTS[1], id: 3 }] : EVENTS;
      response.end(`${JSON.stringify(event)}\n`);
    };
    const followed = await tulle(t, 'events', '--follow', '--last', '0', '--json', '--socket', socket);
    assert.match(followed.out, /^\{"id":3.*\n$/);
    assert.deepEqual(asked, ['/v1/events?after=0', '/v1/events?follow=true&after=1']);
    const other = await tulle(
      t,
      'events',
      '--follow',
      '--type',
      'lease-acquired',
      '--json',
      '--socket',
      socket,
    );
    assert.match(other.out, /^\{"id":1.*\n$/);
  });

  test('status --peer reports why one peer does not work', async t => {
    const peer = { ...healthyPeer, state: 'failed', reason: 'route in the way', actual: ['route x'] };
    const sent = { ...EVENTS[1], fields: { peer: peer.key } };
    answer = (request, response) => {
      const events = request.url?.startsWith('/v1/events') === true;
      response.end(`${JSON.stringify(events ? sent : status({ peers: [peer] }))}\n`);
    };
    const screen = await tulle(t, 'status', '--peer', '188.172.9.2', '--socket', socket);
    assert.equal(screen.exit, 3);
    assert.match(screen.out, /^peer +188\.172\.9\.0\/24\nstate +failed: route in the way$/m);
    assert.match(screen.out, /drift-repaired {2}restored: a route/);
    const json = await tulle(t, 'status', '--peer', '192.168.65.4', '--json', '--socket', socket);
    assert.deepEqual(JSON.parse(json.out), [peer]);
    assert.equal((await tulle(t, 'status', '--peer', '188.172.77.1', '--socket', socket)).exit, 7);
  });

  test('events --follow ends well when the agent does', async t => {
    answer = (request, response) => {
      if (request.url?.includes('follow') !== true) response.end();
      else response.write(`${JSON.stringify(EVENTS[0])}\n`, () => response.destroy());
    };
    const followed = await tulle(t, 'events', '--follow', '--socket', socket);
    assert.equal(followed.exit, 0);
    assert.equal(followed.out.split('\n').length, 2);
  });

  test('ports are one line for both families, and for a script one entry each', async t => {
    const port = {
      protocol: 'tcp',
      hostPort: 8080,
      container: 'web',
      network: 'blue',
      address: '10.88.0.2',
      containerPort: 80,
      since: new Date(Date.now() - 126.5 * 3_600_000).toISOString(),
      held: true,
    };
    const ports = [
      port,
      { ...port, address: 'fd88::2' },
      { ...port, hostAddress: '192.0.2.1', hostPort: 8081, held: false },
    ];
    answer = (_, response) => void response.end(JSON.stringify(ports));
    const { out } = await tulle(t, 'ports', '--socket', socket);
    assert.deepEqual(
      out.split('\n').map(line => line.trimEnd().split(/ {2,}/)),
      [
        ['PORT', 'AT', 'CONTAINER', 'NETWORK', 'ADDRESS', 'TO', 'SINCE', 'HELD'],
        ['8080/tcp', 'every address', 'web', 'blue', '10.88.0.2 fd88::2', '80', '5 d 6 h', 'yes'],
        ['8081/tcp', '192.0.2.1', 'web', 'blue', '10.88.0.2', '80', '5 d 6 h', 'no: another program has it'],
        [''],
      ],
    );
    assert.deepEqual(JSON.parse((await tulle(t, 'ports', '--json', '--socket', socket)).out), ports);
    answer = (_, response) => void response.end('[]');
    const none = await tulle(t, 'ports', '--socket', socket);
    assert.deepEqual([none.out, none.err], ['', 'no port of this host leads to a container\n']);
  });
});
