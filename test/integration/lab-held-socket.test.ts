/**
 * The socket of the Docker plugin in a lab:
 *
 *     client ──> /run/docker/plugins/tulle.sock ──> queue ──> whoever serves it now, or will
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DOCKER_PLUGIN_FD_NAME, DOCKER_PLUGIN_SOCKET } from '../../src/console/defaults.ts';
import { LabHost } from '../../src/lab/host/host.ts';
import { requireRecord } from '../../src/lab/record/record.ts';
import { HeldSocket } from '../../src/lab/service/held-socket.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { within } from '../support/eventually.ts';
import { lab, labName, needsLab, programsOf, tracesOf } from '../support/lab.ts';

/** Answers each connection with who it is; killed while it does nothing, as an agent may be. */
const SERVER = `
  import { createServer } from 'node:net';
  import { takePassedSockets } from ${JSON.stringify(join(import.meta.dirname, '../../src/sys/socket-activation.ts'))};
  const { sockets: [socket], problems } = takePassedSockets(process.env, process.pid);
  createServer(client => client.end(JSON.stringify({ ...socket, problems, me: process.argv[1] }))).listen({ fd: socket.fd });
`;

describe("a plugin's socket that a host of a lab holds", needsLab(), () => {
  const name = labName();
  let host: LabHost;
  let directory: string;

  before(async () => {
    const { status, stderr } = await lab(['up', '--name', name, '--bare', '--hosts', '1']);
    assert.equal(status, 0, stderr);
    host = new LabHost('docker1', requireRecord(name).hosts[0]?.anchor ?? assert.fail());
    directory = await mkdtemp(join(tmpdir(), 'tt-held-'));
    // The path through /proc is nearly as long as a socket's may be.
    symlinkSync(host.path('/run'), join(directory, 'run'));
  });
  after(async () => {
    await rm(directory, { recursive: true });
    await lab(['down', '--name', name]);
    assert.deepEqual(await tracesOf(name), []);
  });

  /** A server with the socket as descriptor 3. */
  async function serve(me: string) {
    using held = await HeldSocket.of(host);
    const args = ['--input-type=module-typescript', '--eval', SERVER, me];
    return await host.start(process.execPath, args, 'server', [held.passed]);
  }

  /** Connects now; the answer may take until somebody serves. */
  function ask(): Promise<string> {
    const client = connect(join(directory, DOCKER_PLUGIN_SOCKET));
    let said = '';
    client.on('data', chunk => {
      said += String(chunk);
    });
    return once(client, 'close').then(() => said);
  }

  const told = (answer: string) => JSON.parse(answer) as { readonly me: string };

  test('is open to root alone, is held once, and is the same for everybody who asks', async () => {
    (await HeldSocket.of(host))[Symbol.dispose]();
    const { mode, ino } = statSync(host.path(DOCKER_PLUGIN_SOCKET));
    assert.equal(mode & 0o777, 0o600);
    const holders = programsOf(host).length;
    (await HeldSocket.of(host))[Symbol.dispose]();
    assert.equal(statSync(host.path(DOCKER_PLUGIN_SOCKET)).ino, ino);
    assert.equal(programsOf(host).length, holders);
  });

  test('keeps who connects while nobody serves, and after a SIGKILL', async () => {
    const early = ask();
    const first = await serve('first');
    assert.deepEqual(told(await within('the first answers', early)), {
      fd: 3,
      name: DOCKER_PLUGIN_FD_NAME,
      problems: [],
      me: 'first',
    });
    await endProcess(first, 0);
    const waiting = [ask(), ask(), ask()];
    // Those who wait are connected to the same path.
    const holders = programsOf(host).length;
    (await HeldSocket.of(host))[Symbol.dispose]();
    assert.equal(programsOf(host).length, holders);
    const second = await serve('second');
    for (const answer of waiting) {
      assert.equal(told(await within('the second answers', answer)).me, 'second');
    }
    await endProcess(second, 0);
  });
});
