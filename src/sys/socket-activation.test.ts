import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { parseListenVariables, takePassedSockets } from './socket-activation.ts';

const PID = 4711;

const announced = (variables: Record<string, string>, pid = PID) =>
  parseListenVariables({ LISTEN_PID: String(PID), ...variables }, pid);

test('the variables name the descriptors from 3 on', () => {
  assert.deepEqual(announced({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'docker-plugin:api' }), {
    sockets: [
      { fd: 3, name: 'docker-plugin' },
      { fd: 4, name: 'api' },
    ],
    problems: [],
  });
  assert.deepEqual(announced({ LISTEN_FDS: '1' }).sockets, [{ fd: 3, name: 'unknown' }]);
});

test('nothing is passed without the variables, or with those of another process', () => {
  const nothing = { sockets: [], problems: [] };
  assert.deepEqual(parseListenVariables({}, PID), nothing);
  assert.deepEqual(announced({ LISTEN_FDS: '1' }, PID + 1), nothing);
  assert.deepEqual(announced({ LISTEN_FDS: '0' }), nothing);
});

test('a wrong variable is a problem with its value, and never an exception', () => {
  for (const [variables, path] of [
    [{ LISTEN_PID: 'x', LISTEN_FDS: '1' }, '$LISTEN_PID'],
    [{ LISTEN_FDS: '-1' }, '$LISTEN_FDS'],
    [{ LISTEN_FDS: ' 1' }, '$LISTEN_FDS'],
    [{ LISTEN_FDS: '99999999999' }, '$LISTEN_FDS'],
    [{ LISTEN_FDS: '1', LISTEN_FDNAMES: 'a:b' }, '$LISTEN_FDNAMES'],
    [{ LISTEN_FDS: '1', LISTEN_FDNAMES: 'a\u001b[2J' }, '$LISTEN_FDNAMES'],
  ] as const) {
    assert.deepEqual(
      announced(variables).problems.map(problem => problem.path),
      [path],
      JSON.stringify(variables),
    );
  }
});

test('whatever the variables hold, at most 256 descriptors from 3 on come of it', () => {
  const text = fc.option(fc.oneof(fc.string(), fc.integer().map(String)), { nil: undefined });
  fc.assert(
    fc.property(text, text, text, (whose, count, names) => {
      const { sockets } = parseListenVariables(
        { LISTEN_PID: whose ?? String(PID), LISTEN_FDS: count, LISTEN_FDNAMES: names },
        PID,
      );
      assert.ok(sockets.length <= 256);
      assert.deepEqual(
        sockets.map(({ fd }) => fd),
        sockets.map((_, at) => 3 + at),
      );
    }),
  );
});

/** A program that takes what it was passed, and says so in one line. */
const CHILD = `
  import { spawnSync } from 'node:child_process';
  import { takePassedSockets } from ${JSON.stringify(join(import.meta.dirname, 'socket-activation.ts'))};
  const taken = takePassedSockets(process.env, process.pid);
  const { stdout } = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
  const left = Object.keys(process.env).filter(name => name.startsWith('LISTEN_'));
  console.log(JSON.stringify({ ...taken, inherited: / [34] -> socket/.test(stdout), left }));
`;

/** What `CHILD` says when these are its descriptors from 3 on. */
async function passed(t: TestContext, count: number, stdio: readonly (number | 'pipe' | 'ignore')[]) {
  const script = `export LISTEN_PID=$$; exec "$0" --input-type=module-typescript --eval "$CHILD"`;
  const child = spawn('sh', ['-c', script, process.execPath], {
    stdio: ['ignore', 'pipe', 'inherit', ...stdio],
    env: { ...process.env, CHILD, LISTEN_FDS: String(count), LISTEN_FDNAMES: '' },
    timeout: 60_000,
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout?.on('data', chunk => {
    said += String(chunk);
  });
  await once(child, 'close');
  return JSON.parse(said) as ReturnType<typeof takePassedSockets> & {
    readonly inherited: boolean;
    readonly left: readonly string[];
  };
}

/** A server in a directory that is removed. */
async function listening(t: TestContext): Promise<{ readonly path: string; readonly fd: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'tt-activation-'));
  const server = createServer();
  const path = join(directory, 'a.sock');
  server.listen(path);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  const { _handle: handle } = server as unknown as { _handle: { fd: number } };
  return { path, fd: handle.fd };
}

test('a listening socket is taken over; children and their environment do not have it', async t => {
  const { fd } = await listening(t);
  assert.deepEqual(await passed(t, 1, [fd]), {
    sockets: [{ fd: 3, name: 'unknown' }],
    problems: [],
    inherited: false,
    left: [],
  });
});

test('what is not a listening unix socket is refused, and the rest is taken', async t => {
  const { fd, path } = await listening(t);
  const client = connect(path);
  await once(client, 'connect');
  t.after(() => client.destroy());
  const { _handle: handle } = client as unknown as { _handle: { fd: number } };
  const { sockets, problems } = await passed(t, 3, ['ignore', fd, handle.fd]);
  assert.deepEqual(
    sockets.map(socket => socket.fd),
    [4],
  );
  assert.deepEqual(
    problems.map(({ message }) => message),
    ['descriptor 3 is not a socket', 'descriptor 5 does not listen'],
  );
});

const ACTIVATE = '/usr/bin/systemd-socket-activate';
const noActivate = ((): string | false => {
  try {
    readFileSync(ACTIVATE);
    return false;
  } catch {
    return process.env['CI'] === 'true' ? false : 'needs systemd-socket-activate';
  }
})();

test('systemd itself passes a socket with its name', { skip: noActivate }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-activate-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'plugin.sock');
  const node = [process.execPath, '--input-type=module-typescript', '--eval', CHILD];
  const manager = spawn(ACTIVATE, [`--listen=${path}`, '--fdname=docker-plugin', ...node], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  t.after(() => manager.kill('SIGKILL'));
  let said = '';
  manager.stdout.on('data', chunk => {
    said += String(chunk);
  });
  // It says "Listening on ..." when a client may come.
  await once(manager.stderr, 'data');
  const client = connect(path);
  client.on('error', () => undefined);
  t.after(() => client.destroy());
  await once(manager, 'close');
  const { sockets, problems } = JSON.parse(said) as ReturnType<typeof takePassedSockets>;
  assert.deepEqual({ sockets, problems }, { sockets: [{ fd: 3, name: 'docker-plugin' }], problems: [] });
});
