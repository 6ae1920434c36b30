import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as v from 'valibot';
import { serveAsAgent } from '../../../test/support/fake-agent.ts';
import { CniCall } from '../../api/cni.ts';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { readAll } from '../../base/read-all.ts';
import { packageVersion } from '../../base/version.ts';
import { run } from '../../sys/process.ts';
import { CNI_VERSIONS, type Invocation, LAUNCHER_SOCKET, launchPlugin, MOST_OF_A_CALL } from './launcher.ts';

const PROGRAM = join(import.meta.dirname, '../../../bin/tulle-cni');
const ADD = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c1', CNI_NETNS: '/proc/self/ns/net', OTHER: 'x' };

async function launch(env: Invocation['env'], input: string, args: readonly string[] = []) {
  const output = await launchPlugin({ name: 'tulle', args, env, input: async () => input });
  const answer = output.stdout === '' ? undefined : (JSON.parse(output.stdout) as Record<string, unknown>);
  return { ...output, answer };
}

test('the socket is where the agent listens, also for the half of the program that is no TypeScript', () => {
  assert.equal(LAUNCHER_SOCKET, DEFAULT_SOCKET);
  assert.ok(readFileSync(PROGRAM, 'utf8').includes(`'${LAUNCHER_SOCKET}'`));
});

describe('without an agent', () => {
  test('versions are told, in the version that was asked for', async () => {
    for (const [given, told] of [
      ['', '1.0.0'],
      ['{}', '1.0.0'],
      ['{"cniVersion":"1.1.0"}', '1.1.0'],
      ['{"cniVersion":"9.0.0"}', '1.0.0'],
    ]) {
      const { status, answer } = await launch({ CNI_COMMAND: 'VERSION' }, given ?? '');
      assert.deepEqual([status, answer], [0, { cniVersion: told, supportedVersions: [...CNI_VERSIONS] }]);
    }
    const { answer } = await launch({}, '', ['info']);
    assert.deepEqual(answer, { version: packageVersion(), api_version: '1.0.0' });
  });

  test('a start by hand says what this is', async () => {
    const { status, stdout, stderr } = await launch({}, '');
    assert.deepEqual([status, stdout], [0, '']);
    assert.match(stderr ?? '', /started by container runtimes/);
  });

  test('a call may be tried again, and STATUS says that nothing can be attached', async () => {
    const config = '{"cniVersion":"0.4.0","socket":"/nonexistent/agent.sock"}';
    const { status, answer } = await launch(ADD, config);
    assert.deepEqual([status, answer?.['code'], answer?.['cniVersion']], [1, 11, '0.4.0']);
    assert.match(String(answer?.['msg']), /no Tulle agent answers at \/nonexistent\/agent\.sock/);
    assert.equal((await launch({ ...ADD, CNI_COMMAND: 'STATUS' }, config)).answer?.['code'], 50);
    const podman = '{"network":{"options":{"tulle.socket":"/nonexistent/agent.sock"}}}';
    assert.match(String((await launch({}, podman, ['setup', '/x'])).answer?.['error']), /nonexistent/);
  });

  test('what is no configuration is refused', async () => {
    for (const input of ['', 'x', '[]', 'null', '{"cniVersion":']) {
      assert.equal((await launch(ADD, input)).answer?.['code'], 6);
      assert.match(String((await launch({}, input, ['setup', '/x'])).answer?.['error']), /not/);
    }
  });
});

describe('an agent', () => {
  const calls: unknown[] = [];
  let answer: (path: string) => [status: number, body: string];
  const socket = serveAsAgent((request, response) => {
    void readAll(request, 1 << 20).then(body => {
      calls.push(JSON.parse(Buffer.from(body ?? []).toString('utf8')));
      const [status, text] = answer(request.url ?? '');
      response.writeHead(status, { connection: 'close' }).end(text);
    });
  });
  const config = () => JSON.stringify({ cniVersion: '1.0.0', name: 'ü\u2028', socket });

  test('gets the call as it was made, and says what is printed', async () => {
    answer = () => [200, '{"status":3,"stdout":"ü\\n"}'];
    const { status, stdout } = await launchPlugin({
      name: 'tulle-ipam',
      args: [],
      env: ADD,
      input: async () => config(),
    });
    assert.deepEqual([status, stdout], [3, 'ü\n']);
    const call = v.parse(CniCall, calls.at(-1));
    assert.deepEqual(Object.keys(call.env), ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS']);
    assert.deepEqual([call.type, call.config, call.sandbox], ['tulle-ipam', config(), call.own]);
  });

  test('that refuses, is older, or makes no sense fails the call', async () => {
    const cases: [number, string, number, RegExp][] = [
      [404, '{"code":"UNKNOWN_REQUEST","message":"no"}', 11, /older than this plugin/],
      [400, '{"code":"INVALID_CONFIG","message":"cni: body: is longer"}', 100, /is longer/],
      [200, '{}', 100, /status 200/],
      [200, '<html>', 11, /no answer that can be read/],
    ];
    for (const [status, body, code, message] of cases) {
      answer = () => [status, body];
      const refused = (await launch(ADD, config())).answer;
      assert.equal(refused?.['code'], code);
      assert.match(String(refused?.['msg']), message);
    }
  });

  test('is reached by the program that runtimes start, by the name of a link to it', async t => {
    answer = () => [200, '{"status":0,"stdout":"{}\\n"}'];
    const directory = mkdtempSync(join(tmpdir(), 'tt-launcher-'));
    t.after(() => rmSync(directory, { recursive: true }));
    symlinkSync(PROGRAM, join(directory, 'tulle-ipam'));
    const env = { PATH: process.env['PATH'] ?? '', ...ADD };
    const result = await run(join(directory, 'tulle-ipam'), [], { env, input: config() });
    assert.deepEqual(result, { status: 0, stdout: '{}\n', stderr: '' }, 'and ends at once');
    assert.equal((calls.at(-1) as CniCall).type, 'tulle-ipam');
  });

  describe('is asked by Perl, where there is one', {
    skip: !existsSync('/usr/bin/perl') && 'no Perl',
  }, () => {
    const PATH = process.env['PATH'] ?? '';
    const setup = (input: string, env: Readonly<Record<string, string>>, path = '/proc/self/ns/net') =>
      run(PROGRAM, ['setup', path], { env: { PATH, ...env }, input, anyStatus: true });
    /** Nothing that Node.js would have to do succeeds. */
    const alone = { TULLE_SOCKET: socket, NODE_OPTIONS: '--require=/nonexistent' };
    const asked = () => calls.at(-1) as Record<string, string>;

    test('with what Node.js would ask, and what it would print is printed', async () => {
      const name = 'ü\u2028\t"\\ ';
      const config = JSON.stringify({ network: { name, long: 'x'.repeat(300_000) } }, undefined, '\t');
      assert.ok(!config.includes('\\u'), 'what has such an escape is left to Node.js');
      const printed = { status: 7, stdout: `${JSON.stringify({ name })}\b\f\r\n${'"\\'.repeat(50_000)}` };
      answer = () => [200, JSON.stringify(printed)];
      const byPerl = await setup(config, alone);
      const [asPerl, { sandboxPath: held = '' }] = [{ ...asked(), sandboxPath: '' }, asked()];
      assert.deepEqual(byPerl, { ...printed, stderr: '' });
      assert.match(held, /^\/proc\/\d+\/fd\/\d+$/);
      const byNode = await setup(config, { TULLE_SOCKET: socket, TULLE_CNI_BY_NODE: '1' });
      assert.deepEqual([byNode, { ...asked(), sandboxPath: '' }], [byPerl, asPerl]);
    });

    test('of a namespace that is gone', async () => {
      answer = () => [200, '{"status":0,"stdout":""}'];
      assert.equal((await setup('{}', alone, '/nonexistent')).status, 0);
      assert.deepEqual(Object.keys(asked()).sort(), ['command', 'config', 'netns', 'own']);
    });

    test('and what it cannot read is left to Node.js, as it came', async () => {
      const long = 'x'.repeat(300_000);
      const config = JSON.stringify({ long, network: { options: { 'tulle.socket': socket } } });
      answer = () => [200, '{"status":0,"stdout":"\\u0001"}'];
      assert.deepEqual(await setup(config, {}), { status: 0, stdout: '\u0001', stderr: '' });
      assert.equal(asked()['config'], config);
      answer = () => [400, '{"code":"INVALID_CONFIG","message":"is longer"}'];
      const refused = await setup(JSON.stringify({ long }), { TULLE_SOCKET: socket });
      assert.deepEqual([refused.status, refused.stdout], [1, '{"error":"is longer"}\n']);
      const absent = await setup('{}', { TULLE_SOCKET: '/nonexistent/agent.sock' });
      assert.match(absent.stdout, /no Tulle agent answers at \/nonexistent/);
      const tooLong = await setup(`"${'x'.repeat(MOST_OF_A_CALL)}"`, { TULLE_SOCKET: socket });
      assert.match(tooLong.stdout, /is longer than 4194304 bytes/);
    });
  });
});
