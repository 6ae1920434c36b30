/** `tulle cleanup` as a person runs it, in a network namespace of its own. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { serveAsAgent } from '../support/fake-agent.ts';
import { status } from '../support/status.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
/** Milliseconds: a program takes many seconds to start on a busy machine. */
const TIMEOUT = 120_000;
const SETUP = [
  'link set lo up',
  'link add flannel.88 type vxlan id 88 dev lo dstport 4789 nolearning',
  'addr add 10.3.5.0/32 dev flannel.88',
];

/** A host with a device, a subnet file and an identity of the network 10.3.0.0/16. */
async function formerHost(t: TestContext) {
  const netns = Netns.anonymous();
  t.after(() => netns[Symbol.dispose]());
  const directory = mkdtempSync(join(tmpdir(), 'tt-cleanup-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const namespaces = { net: `/proc/${process.pid}/fd/${netns.fd}` };
  const [subnetFile, stateDirectory] = [join(directory, 'subnet.env'), join(directory, 'state')];
  for (const command of SETUP) await run('ip', command.split(' '), { namespaces, timeout: TIMEOUT });
  writeFileSync(subnetFile, 'FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.5.1/24\n');
  mkdirSync(stateDirectory);
  writeFileSync(join(stateDirectory, 'identity.json'), '{}');
  const places = [`--subnet-file=${subnetFile}`, `--state-dir=${stateDirectory}`];
  const words = (socket: string) => [
    MAIN,
    'cleanup',
    '--network=10.3.0.0/16',
    `--socket=${socket}`,
    ...places,
  ];
  const options = { namespaces, anyStatus: true, timeout: TIMEOUT } as const;
  const cleanup = (socket: string, ...flags: string[]) =>
    run(process.execPath, [...words(socket), ...flags], options);
  /** While the subnet file is a mount point, which cannot be removed. */
  const hindered = (socket: string) => {
    const script = 'mount --bind "$0" "$0" && exec "$@"';
    const command = ['--mount', 'sh', '-c', script, subnetFile, process.execPath, ...words(socket)];
    return run('unshare', command, options);
  };
  /** Which of its traces are there. */
  const traces = async () => {
    const { stdout } = await run('ip', ['-brief', 'link'], { namespaces, timeout: TIMEOUT });
    return [
      ...(stdout.includes('flannel.88') ? ['device flannel.88'] : []),
      ...[subnetFile, stateDirectory].filter(existsSync),
    ];
  };
  const nft = async (...args: string[]) => (await run('nft', args, { namespaces, timeout: TIMEOUT })).stdout;
  return { nft, cleanup, hindered, traces, subnetFile, stateDirectory, absent: join(directory, 'none.sock') };
}

describe('tulle cleanup', needsRoot, () => {
  const socket = serveAsAgent((_, response) => void response.end(JSON.stringify(status())));

  test('is refused while an agent runs, which would restore everything', async t => {
    const { cleanup, traces } = await formerHost(t);
    const before = await traces();
    const { status: exit, stderr } = await cleanup(socket);
    assert.equal(exit, 1);
    assert.match(stderr, /^tulle: error: an agent is running \(process \d+\)\nhint: stop it first/);
    assert.deepEqual(await traces(), before);
  });

  test('--dry-run lists everything and removes nothing', async t => {
    const { cleanup, traces, subnetFile, stateDirectory, absent } = await formerHost(t);
    const found = ['device flannel.88', subnetFile, stateDirectory];
    const { stdout } = await cleanup(absent, '--dry-run', '--json');
    assert.deepEqual(JSON.parse(stdout), { removed: false, found, kept: [] });
    const { stdout: listed, stderr } = await cleanup(absent, '--dry-run');
    assert.deepEqual(listed.trimEnd().split('\n'), found);
    assert.match(stderr, /^3 things would be removed$/m);
    assert.deepEqual(await traces(), found);
  });

  test('goes on after a failure, and says what is left', async t => {
    const { hindered, traces, subnetFile, absent } = await formerHost(t);
    const { status: exit, stderr } = await hindered(absent);
    assert.equal(exit, 1);
    assert.match(stderr, new RegExp(`cleanup is not complete: could not remove ${subnetFile}: `));
    assert.deepEqual(await traces(), [subnetFile]);
  });

  test('removes the published ports of this network, not those of another', async t => {
    const { nft, cleanup, absent } = await formerHost(t);
    await nft('add table inet tulle-ports; add table inet tulle-ports-00c0ffee');
    const { stdout } = await cleanup(absent, '--json');
    assert.equal(JSON.parse(stdout).found[0], 'firewall rules of published ports');
    assert.equal(await nft('list', 'tables'), 'table inet tulle-ports-00c0ffee\n');
  });

  test('removes everything, with --keep-state all but the identity', async t => {
    const { cleanup, traces, stateDirectory, absent } = await formerHost(t);
    assert.match((await cleanup(absent, '--keep-state')).stderr, /^2 things removed$/m);
    assert.deepEqual(await traces(), [stateDirectory]);
    const { stdout } = await cleanup(absent, '--json');
    assert.deepEqual(JSON.parse(stdout), { removed: true, found: [stateDirectory], kept: [] });
    assert.deepEqual(await traces(), []);
    const again = await cleanup(absent);
    assert.deepEqual([again.status, again.stdout], [0, '']);
    assert.match(again.stderr, /no traces of this network/);
  });
});
