/** `tulle check` in labs: nothing is found where nothing is wrong, and what is wrong is named from either host, and fixed. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { type CheckReport, detailsOf, readReport } from '../support/fault-verdict.ts';
import { lab, labName, needsLab } from '../support/lab.ts';

interface Checked extends CheckReport {
  readonly status: number | undefined;
}

/** Milliseconds: a check that waits for agents in vain takes 15 s on a busy machine. */
const PATIENCE = 100_000;

const isUnanswered = ({ findings }: CheckReport) => findings.some(({ code }) => code === 'AGENT_SILENT');

/** A lab for the tests of a `describe`. */
function withLab(name: string, ...options: readonly string[]) {
  before(async () => {
    const { status, stderr } = await lab(['up', '--name', name, ...options], { timeout: 180_000 });
    assert.equal(status, 0, stderr);
  });
  after(() => lab(['down', '--name', name]));
  const on = (host: string, ...command: readonly string[]) =>
    lab(['exec', '--name', name, host, '--', ...command]);
  /** Where agents live: on a busy machine one may not answer in time, which a check says and a test has not planted. */
  const check = (host: string, ...args: readonly string[]): Promise<Checked> =>
    eventually(
      'the agents answer a check in time',
      async () => {
        const { status, stdout, stderr } = await on(host, 'tulle', 'check', '--json', ...args);
        assert.match(stdout, /^\{/, stderr);
        const report = readReport(stdout);
        assert.ok(!isUnanswered(report), detailsOf(report));
        return { status, ...report };
      },
      PATIENCE,
    );
  return { on, check };
}

function assertHealthy(result: Checked): void {
  assert.equal(detailsOf(result), 'nothing');
  assert.deepEqual([result.ok, result.status], [true, 0]);
}

for (const [what, options] of [
  ['with both families', ['--hosts', '2', '--family', 'dual']],
  ['where the backend chooses', ['--hosts', '2', '--backend-config', '{"Type":"auto"}']],
  ['without a tunnel', ['--hosts', '2', '--backend-config', '{"Type":"host-gw"}']],
] as const)
  describe(`a healthy lab ${what}`, needsLab(), () => {
    const { check } = withLab(labName(), ...options);

    test('has no findings, on any host', async () => {
      for (const host of ['docker1', 'docker2']) assertHealthy(await check(host));
    });
  });

describe('a healthy lab with Docker', needsLab({ docker: true }), () => {
  const { check } = withLab(labName(), '--hosts', '2', '--docker');

  test('has no findings, on any host', async () => {
    for (const host of ['docker1', 'docker2']) assertHealthy(await check(host));
  });
});

describe('a lab in which something is wrong', needsLab(), () => {
  const name = labName();
  const { on, check } = withLab(name, '--hosts', '3');
  const first = ({ findings: [one] }: Checked) => `${one?.code} ${one?.host}`;
  const done = async (host: string, ...command: readonly string[]) => {
    const { status, stderr } = await on(host, ...command);
    assert.equal(status, 0, `${command.join(' ')} on ${host}: ${stderr}`);
  };
  /** Breaks a host for as long as `looking` takes, whatever becomes of that: the next test has a whole lab. */
  const whileBroken = async (
    host: string,
    [plant, mend]: readonly (readonly string[])[],
    looking: () => Promise<void>,
  ) => {
    await done(host, ...(plant ?? []));
    try {
      await looking();
    } finally {
      await done(host, ...(mend ?? []));
    }
  };

  test('nothing is found as long as nothing is', async () => {
    for (const host of ['docker1', 'docker2']) assertHealthy(await check(host));
  });

  test('a host that does not forward is named from both sides, and mended by --fix there', async () => {
    const forward = (value: number) => ['sysctl', '-w', `net.ipv4.ip_forward=${value}`];
    await whileBroken('docker2', [forward(0), forward(1)], async () => {
      const far = await check('docker1', 'docker2');
      assert.deepEqual(
        [first(far), far.ok, far.status],
        ['FORWARDING_OFF docker2', false, 1],
        detailsOf(far),
      );
      const all = await check('docker1', '--fix');
      assert.equal(first(all), 'FORWARDING_OFF docker2', `no host mends another one: ${detailsOf(all)}`);
      assertHealthy(await check('docker2', '--fix'));
      assertHealthy(await check('docker1'));
    });
  });

  test('a link that --fix sets up carries packets again when it checks again', async () => {
    const set = (state: string) => ['ip', 'link', 'set', 'dev', 'veth-c1', state];
    await whileBroken('docker1', [set('down'), set('up')], async () => {
      const { status, stdout, stderr } = await on('docker1', 'tulle', 'check', 'docker2', '--json', '--fix');
      assert.match(stderr, /^fixed BRIDGE_PORT_DOWN: /m);
      const again = { status, ...readReport(stdout) };
      assertHealthy(isUnanswered(again) ? await check('docker1', 'docker2') : again);
    });
  });

  test('a rule that drops is named with its text, and where it is', async () => {
    const rule = ['FORWARD', '-p', 'icmp', '-d', '188.172.0.0/16', '-j', 'DROP'];
    const change = (option: string) => ['iptables', '-t', 'mangle', option, ...rule];
    await whileBroken('docker2', [change('-I'), change('-D')], async () => {
      for (const [host, peer] of [
        ['docker1', 'docker2'],
        ['docker2', 'docker1'],
      ] as const) {
        const result = await check(host, peer);
        assert.equal(first(result), 'FIREWALL_DROP docker2', detailsOf(result));
        const { reason = '', evidence = [] } = result.findings[0] ?? {};
        assert.match([reason, ...evidence].join('\n'), /188\.172\.0\.0\/16 -p icmp/);
      }
    });
    assertHealthy(await check('docker1', 'docker2'));
  });

  test('an address that no container has is looked for where it would be', async () => {
    const { stdout } = await on('docker2', 'sh', '-c', 'ip -4 -o address show docker0');
    const [, block = ''] = /inet (\d+\.\d+\.\d+)\.1\//.exec(stdout) ?? [];
    const { findings, status } = await check('docker1', `${block}.99`);
    assert.equal(status, 1);
    assert.equal(findings[0]?.host, 'docker2', JSON.stringify(findings));
    assert.ok(findings[0]?.reason.includes(`${block}.99`), findings[0]?.reason);
  });

  test('without its agent a host is checked all the same, by what its kernel and the leases on its disk say', async () => {
    const { stdout } = await on('docker3', 'tulle', 'status', '--json');
    const { pid } = JSON.parse(stdout) as { pid: number };
    // Until it has ended its socket takes connections that nobody answers.
    await done('docker3', 'sh', '-c', `kill -9 ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.1; done`);
    const { ok, findings } = await check('docker3');
    assert.equal(ok, true, JSON.stringify(findings));
    const { stdout: screen, status } = await on('docker3', 'tulle', 'check', '192.168.65.3');
    assert.match(screen, /Only looked at from this side: docker1/);
    assert.match(screen, /the tunnel of docker1/);
    assert.equal(status, 0, screen);
  });

  test('what names nothing ends with 7, and what is said of it names the network', async () => {
    const { status, stderr } = await on('docker1', 'tulle', 'check', '10.9.9.9');
    assert.equal(status, 7);
    assert.match(
      stderr,
      /10\.9\.9\.9 is neither an address of a host nor inside the network 188\.172\.0\.0\/16/,
    );
  });
});
