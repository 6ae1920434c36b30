/** Faults seen on the hosts of a lab, with the commands that showed them. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { lab, labName, needsLab, tracesOf } from '../support/lab.ts';

describe('a lab with dockerd', needsLab({ docker: true }), () => {
  const name = labName();
  const on = (target: string, ...words: string[]) => lab(['exec', '--name', name, target, '--', ...words]);
  const dockerFiles = () => (existsSync('/etc/docker') ? readdirSync('/etc/docker').join() : undefined);
  const filesBefore = dockerFiles();

  before(async () => {
    const { status, stderr } = await lab([
      'up',
      '--name',
      name,
      '--docker',
      '--hosts',
      '2',
      '--containers',
      '1',
    ]);
    assert.equal(status, 0, stderr);
  });
  after(async () => {
    await lab(['down', '--name', name]);
    assert.deepEqual(await tracesOf(name), []);
  });

  test('A7: every host has an /etc of its own, and writes to no file of the machine', async () => {
    const [one, two] = await Promise.all(
      ['docker1', 'docker2'].map(async host => (await on(host, 'cat', '/etc/docker/key.json')).stdout),
    );
    assert.ok(one && two && one !== two, 'each dockerd has made a key of its own');
    assert.equal(dockerFiles(), filesBefore);
    const mark = `/etc/${name}`;
    await on('docker1', 'touch', mark);
    assert.equal((await on('docker1', 'test', '-e', mark)).status, 0);
    assert.equal((await on('docker2', 'test', '-e', mark)).status, 1);
    assert.equal(existsSync(mark), false);
  });

  test("A7: the files of /etc with the name and the place of a host are the host's own", async () => {
    const read = async (file: string) =>
      Promise.all(['docker1', 'docker2'].map(async host => (await on(host, 'cat', `/etc/${file}`)).stdout));
    const [one = '', two] = await read('machine-id');
    assert.match(one, /^[0-9a-f]{32}\n$/);
    assert.ok(
      one !== two && (!existsSync('/etc/machine-id') || readFileSync('/etc/machine-id', 'utf8') !== one),
    );
    assert.deepEqual(await read('hostname'), ['docker1\n', 'docker2\n']);
    for (const text of await read('resolv.conf')) assert.doesNotMatch(text, /^nameserver/m);
    for (const text of await read('hosts')) assert.match(text, /^192\.168\.65\.4 docker2$/m);
  });

  test('I4: docker2 knows where the store is, and I5: who docker1 is', async () => {
    const { stdout, stderr } = await on('docker2', 'tulle', 'lease', 'list');
    assert.match(stdout, /192\.168\.65\.3 .* docker1\n[^]*docker2\n|docker2\n[^]* docker1\n/, stderr);
    assert.match((await on('docker2', 'tulle', 'config', 'get')).stdout, /"Network":"188\.172\.0\.0\/16"/);
    assert.match((await on('docker2', 'tulle', 'lease', 'show', 'docker1')).stdout, /^host +docker1$/m);
    const { status, stdout: screen } = await on('docker2', 'tulle', 'status', '--peer', 'docker1');
    assert.match(screen, /^host +docker1$/m);
    assert.equal(status, 0);
  });

  test('I9: the other host has joined, by its name', async () => {
    const { stdout } = await on('docker2', 'tulle', 'events', '--type', 'peer-added');
    assert.match(stdout, /docker1 joined: 188\.172\.\d+\.0\/24 at 192\.168\.65\.3/);
  });

  test('I10: a container that was restarted is where it is now', async () => {
    const restarted = await on('docker2', 'docker', 'restart', '--time=0', 'c1');
    assert.equal(restarted.status, 0, restarted.stderr);
    const { status, stdout } = await lab(['ping', '--name', name]);
    assert.match(stdout, /4 pairs, 12 packets sent, 0 lost/);
    assert.equal(status, 0);
    await on('docker2', 'docker', 'stop', '--time=0', 'c1');
    const stopped = await lab(['ping', '--name', name, '--count', '1']);
    assert.equal(stopped.status, 3);
    assert.match(stopped.stdout, /4 pairs, 4 packets sent, 3 lost/);
    await on('docker2', 'docker', 'start', 'c1');
    assert.equal((await lab(['ping', '--name', name])).status, 0);
  });

  test('I2: a host that does not forward is not said to do its part', async () => {
    const forward = (value: string) => on('docker2', 'sysctl', '-w', `net.ipv4.ip_forward=${value}`);
    const peer = () => on('docker2', 'tulle', 'status', '--peer', 'docker1');
    await forward('0');
    await eventually('status 3 with forwarding off', async () => (await peer()).status === 3);
    const { stdout } = await peer();
    assert.match(stdout, /FORWARDING_OFF/);
    assert.doesNotMatch(stdout, /This host is complete/);
    await forward('1');
    await eventually('status 0 with forwarding on', async () => (await peer()).status === 0);
  });

  test('I3: without its underlay a host names that, and does not claim that containers talk', async () => {
    await on('docker2', 'ip', 'address', 'flush', 'dev', 'eth0');
    const { stdout: screen, status: exit } = await eventually(
      'the store is missed, too',
      async () => {
        const shown = await on('docker2', 'tulle', 'status');
        return shown.stdout.includes('the store does not answer') && shown;
      },
      60_000,
    );
    assert.match(screen, /^reason +no usable underlay interface/m);
    assert.doesNotMatch(screen, /containers still reach/);
    assert.equal(exit, 3);
    const { stdout, status } = await on('docker2', 'tulle', 'status', '--peer', '192.168.65.3');
    assert.equal(status, 3);
    assert.doesNotMatch(stdout, /This host is complete/);
  });
});
