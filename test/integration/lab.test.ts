/**
 * Labs from the outside, with the command line only: they work, several at once, and nothing remains of them
 * however they end.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { endedLabs, findRecord, lockName } from '../../src/lab/record/record.ts';
import { endProcess, identify, waitForEnd } from '../../src/sys/pidfd.ts';
import { type RunningProcess, start } from '../../src/sys/process.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { lab, labName, markedWith, needsLab, survivors, tracesOf } from '../support/lab.ts';

const possible = needsLab();
const MARK = 'TULLE_TEST_LAB';

describe('a lab', possible, () => {
  test('whose agents cannot work ends with their reason, and not when patience is over', async t => {
    const name = labName();
    t.after(() => lab(['down', '--name', name]));
    const backend = { Type: 'extension', PreStartupCommand: 'echo no such tunnel; exit 3' };
    const config = `--backend-config=${JSON.stringify(backend)}`;
    const up = await lab(['up', '--hosts', '1', '--name', name, config]);
    assert.notEqual(up.status, 0);
    assert.match(
      up.stderr,
      /the agent on docker1: .*PreStartupCommand ended with status 3: no such tunnel\n/,
    );
    assert.match(up.stderr, /hint: correct Backend\.PreStartupCommand/);
    assert.deepEqual(await tracesOf(name), []);
  });

  test('is up without a route where the backend makes none', async t => {
    const name = labName();
    t.after(() => lab(['down', '--name', name]));
    const up = await lab(['up', '--containers', '0', '--name', name, '--backend-config={"Type":"alloc"}']);
    assert.equal(up.status, 0, up.stderr);
  });

  test('of IPv6: nothing but loopback has an IPv4 address, and containers reach each other', async t => {
    const name = labName();
    t.after(() => lab(['down', '--name', name]));
    const size = ['--hosts', '2', '--containers', '1'];
    const up = await lab(['up', '--family', 'ipv6', ...size, '--name', name, '--json']);
    assert.equal(up.status, 0, up.stderr);
    const { hosts, family, etcdEndpoint } = JSON.parse(up.stdout) as {
      family: string;
      etcdEndpoint: string;
      hosts: { name: string; address: string; addresses: object; containers: { ip: string }[] }[];
    };
    assert.deepEqual([family, etcdEndpoint], ['ipv6', 'http://[fd00:65::3]:2379']);
    assert.deepEqual(hosts[1]?.addresses, { ipv6: 'fd00:65::4' });
    for (const place of ['docker1', 'docker2', 'docker1/c1']) {
      const show = ['ip', '-4', '-brief', 'address'];
      const { stdout } = await lab(['exec', '--name', name, place, '--', ...show]);
      assert.match(stdout, /^lo +UNKNOWN +127\.0\.0\.1\/8 *\n$/, place);
    }
    // By its name, which /etc/hosts of the lab has.
    const ping = ['ping', '-c', '1', '-W', '5'];
    assert.equal((await lab(['exec', '--name', name, 'docker1', '--', ...ping, 'docker2'])).status, 0);
    const { status, stdout } = await lab(['ping', '--name', name, '--json']);
    const { pairs, sent, lost } = JSON.parse(stdout) as Record<string, number>;
    assert.deepEqual({ status, pairs, sent, lost }, { status: 0, pairs: 4, sent: 12, lost: 0 });
  });

  test('is made, used and removed, beside another one', async t => {
    const [name, other] = [labName(), labName()];
    t.after(() => Promise.all([lab(['down', '--name', name]), lab(['down', '--name', other])]));
    const [up, second] = await Promise.all([
      lab(['up', '--hosts', '2', '--containers', '1', '--name', name, '--json']),
      lab(['up', '--hosts', '1', '--containers', '0', '--name', other, '--json']),
    ]);
    assert.equal(up.status, 0, up.stderr);
    assert.equal(second.status, 0, second.stderr);
    const { hosts } = JSON.parse(up.stdout) as { hosts: { name: string; containers: { ip: string }[] }[] };
    assert.deepEqual(
      hosts.map(host => [host.name, host.containers.length]),
      [
        ['docker1', 1],
        ['docker2', 1],
      ],
    );

    await t.test('shows in the list', async () => {
      const names = (JSON.parse((await lab(['list', '--json'])).stdout) as { name: string }[]).map(
        item => item.name,
      );
      assert.ok(names.includes(name) && names.includes(other));
    });

    await t.test('its containers reach each other', async () => {
      const { status, stdout } = await lab(['ping', '--name', name, '--json']);
      const { pairs, sent, lost } = JSON.parse(stdout) as Record<string, number>;
      assert.deepEqual({ status, pairs, sent, lost }, { status: 0, pairs: 4, sent: 12, lost: 0 });
    });

    await t.test('a lost packet shows in the matrix and in the exit status', async () => {
      const cut = ['ip', 'link', 'set', 'dev', 'veth-c1', 'down'];
      await lab(['exec', '--name', name, 'docker2', '--', ...cut]);
      const { status, stdout } = await lab(['ping', '--name', name, '--count', '1']);
      assert.equal(status, 3);
      assert.match(stdout, /docker1\/c1 .* lost/);
      await lab(['exec', '--name', name, 'docker2', '--', ...cut.slice(0, -1), 'up']);
    });

    await t.test('exec hands on arguments, input, output and the exit status', async () => {
      const exec = (target: string, ...words: string[]) =>
        lab(['exec', '--name', name, target, ...words], { input: 'in' });
      assert.equal((await exec('docker2', '--', 'hostname')).stdout, 'docker2\n');
      assert.equal((await exec('docker1', '--', 'cat')).stdout, 'in');
      assert.equal((await exec('docker1', 'printf', '%s|', '--name', 'a b')).stdout, '--name|a b|');
      assert.equal((await exec('docker1', '--', 'sh', '-c', 'exit 9')).status, 9);
      assert.equal((await exec('docker1', '--', 'sh', '-c', 'kill -TERM $$')).status, 128 + 15);
      assert.match((await exec('docker1/c1', '--', 'ip', '-brief', 'address')).stdout, /eth0.*188\.172\./);
      const nowhere = await exec('docker7', '--', 'true');
      assert.equal(nowhere.status, 7);
      assert.match(nowhere.stderr, /hint: .*docker1\/c1/);
    });

    await t.test('every host has its own files at the default paths', async () => {
      const subnets = await Promise.all(
        hosts.map(host => lab(['exec', '--name', name, host.name, '--', 'cat', '/run/flannel/subnet.env'])),
      );
      assert.equal(new Set(subnets.map(({ stdout }) => stdout)).size, 2);
      const status = await lab(['exec', '--name', name, 'docker1', '--', 'tulle', 'status', '--json']);
      assert.equal(status.status, 0, status.stderr);
      const mark = `/run/${name}`;
      await lab(['exec', '--name', name, 'docker1', '--', 'touch', mark]);
      assert.equal((await lab(['exec', '--name', name, 'docker1', '--', 'test', '-e', mark])).status, 0);
      assert.equal((await lab(['exec', '--name', name, 'docker2', '--', 'test', '-e', mark])).status, 1);
      assert.equal(existsSync(mark), false);
    });

    await t.test('its name is taken', async () => {
      const { status, stderr } = await lab(['up', '--name', name]);
      assert.equal(status, 1);
      assert.match(stderr, /a lab named .* already exists\nhint: /);
    });

    const programs = [name, other].flatMap(programsOfLab);
    assert.ok(programs.length > 4);
    for (const each of [name, other]) {
      const down = await lab(['down', '--name', each, '--json']);
      assert.deepEqual(JSON.parse(down.stdout), { name: each, existed: true });
    }
    assert.deepEqual(await survivors(programs), []);
    assert.deepEqual(await tracesOf(name), []);
    const again = await lab(['down', '--name', name, '--json']);
    assert.deepEqual([again.status, JSON.parse(again.stdout)], [0, { name, existed: false }]);
  });

  for (const step of ['hosts on a common underlay', 'store with the network']) {
    test(`leaves nothing when its maker is killed after "${step}"`, async t => {
      const { name, maker } = await makeMarked(t);
      await toldBy(maker, step);
      const programs = markedWith(MARK, name);
      maker.kill('SIGKILL');
      assert.deepEqual(await survivors([...programs, ...markedWith(MARK, name)]), []);
      assert.equal(findRecord(name), undefined);
      assert.deepEqual(await tracesOf(name), []);
    });
  }

  // From here on the rest takes milliseconds: the signal may come before, in or after the hand-over.
  for (const step of ['an agent with a lease', 'routes between all hosts']) {
    test(`is whole or gone when its maker is killed after "${step}"`, async t => {
      const { name, maker } = await makeMarked(t);
      await toldBy(maker, step);
      maker.kill('SIGKILL');
      await within('the maker ends', maker.exited);
      const programs = markedWith(MARK, name);
      // What holds it ends with its maker, but a moment later.
      if ((await lab(['ping', '--name', name])).status !== 0)
        await eventually('it is gone', async () => findRecord(name) === undefined);
      // A record that was written and given to no keeper is void, and goes with the next command.
      assert.equal((await lab(['down', '--name', name])).status, 0);
      assert.deepEqual(await survivors(programs), []);
      assert.deepEqual(await tracesOf(name), []);
    });
  }

  test('leaves nothing when its maker is interrupted', async t => {
    const { name, maker } = await makeMarked(t);
    await toldBy(maker, 'hosts on a common underlay');
    maker.kill('SIGINT');
    assert.deepEqual(await within('the maker ends', maker.exited, 60_000), { status: 130 });
    assert.deepEqual(await survivors(markedWith(MARK, name)), []);
    assert.deepEqual(await tracesOf(name), []);
  });

  test('ends as a whole when any of what holds it is killed', async t => {
    for (const victim of ['keeper', 'anchor'] as const) {
      const name = labName();
      t.after(() => lab(['down', '--name', name]));
      const { status, stderr } = await lab(['up', '--hosts', '1', '--name', name], {
        env: { ...process.env, [MARK]: name },
      });
      assert.equal(status, 0, stderr);
      const record = findRecord(name);
      assert.ok(record);
      const programs = markedWith(MARK, name);
      await endProcess(record[victim], 0);
      assert.deepEqual(await survivors(programs), [], victim);
      assert.equal(findRecord(name), undefined);
      const again = await lab(['up', '--hosts', '1', '--containers', '0', '--name', name]);
      assert.equal(again.status, 0, `the name is free again: ${again.stderr}`);
      await lab(['down', '--name', name]);
    }
  });
});

test('the record of a lab that has ended is shown, and goes with the next lab', possible, async t => {
  const [ended, next] = [labName(), labName()];
  for (const name of [ended, next]) t.after(() => lab(['down', '--name', name]));
  const up = (name: string) => lab(['up', '--hosts', '1', '--bare', '--name', name]);
  assert.equal((await up(ended)).status, 0);
  const record = findRecord(ended);
  assert.ok(record);
  // Labs of other tests would take it along.
  const lock = await lockName(ended);
  t.after(() => lock[Symbol.asyncDispose]());
  await endProcess(record.anchor, 0);
  for (const { anchor } of record.hosts) await waitForEnd(anchor, deadline('the lab ends'));
  const { stdout, stderr } = await lab(['list']);
  assert.ok(!stdout.includes(ended), stdout);
  assert.match(stderr, new RegExp(`^ended, and removed by the next .*${ended}`, 'ms'));

  assert.equal((await up(next)).status, 0);
  assert.deepEqual([endedLabs().includes(ended), endedLabs().includes(next)], [true, false]);
  await lock[Symbol.asyncDispose]();
  await lab(['down', '--name', next]);
  assert.equal((await up(next)).status, 0);
  assert.deepEqual(await tracesOf(ended), []);
  assert.ok(findRecord(next));
});

describe('the demo', possible, () => {
  test('shows the matrix and the journey, and cleans up when nobody watches', async t => {
    const name = labName();
    t.after(() => lab(['down', '--name', name]));
    const { status, stdout, stderr } = await lab(['demo', '--name', name]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /36 pairs, 108 packets sent, 0 lost/);
    assert.match(stdout, /^ {2}export PATH="\/.*\/bin:\$PATH"\n {2}tulle lab exec /m);
    for (const entry of [
      /default via 188\.172\.\d+\.1 dev eth0/,
      /188\.172\.\d+\.0\/24 (nhid \d+ )?via 188\.172\.\d+\.0 dev flannel\.88 proto 77 onlink/,
      /188\.172\.\d+\.0 dev flannel\.88 lladdr [0-9a-f:]{17} PERMANENT/,
      /[0-9a-f:]{17} dev flannel\.88 dst 192\.168\.65\.4 self permanent/,
      /192\.168\.65\.3 > 192\.168\.65\.4 UDP 4789 VXLAN vni 88/,
    ]) {
      assert.match(stdout, entry);
    }
    assert.deepEqual(await tracesOf(name), []);
  });
});

/** Starts `tulle lab up` with a mark that everything it starts inherits. */
async function makeMarked(t: {
  after(fn: () => unknown): void;
}): Promise<{ name: string; maker: RunningProcess }> {
  const name = labName();
  t.after(() => lab(['down', '--name', name]));
  // `sh` swaps the streams: standard error comes through the pipe.
  const maker = await start(
    'sh',
    ['-c', 'exec "$0" "$@" 2>&1 >/dev/null', TULLE, 'lab', 'up', '--hosts', '3', '--name', name],
    {
      pipeOutput: true,
      env: { ...process.env, [MARK]: name },
    },
  );
  t.after(() => maker.kill('SIGKILL'));
  return { name, maker };
}

/** Resolves when the process has said `words`; fails when it ends without. */
const toldBy = (maker: RunningProcess, words: string): Promise<void> =>
  within(`it says "${words}"`, listen(maker, words), 60_000);

async function listen(maker: RunningProcess, words: string): Promise<void> {
  let said = '';
  for await (const chunk of maker.stdout ?? []) {
    said += String(chunk);
    if (said.includes(words)) return;
  }
  assert.fail(`it never said "${words}": ${said}`);
}

function programsOfLab(name: string) {
  const record = findRecord(name);
  assert.ok(record);
  return [record.anchor, record.keeper, ...record.hosts.map(({ anchor }) => anchor)].flatMap(({ pid }) => {
    const id = identify(pid);
    return id === undefined ? [] : [{ id, words: [] }];
  });
}
