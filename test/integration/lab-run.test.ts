/** `tulle lab run` as a person uses it: step by step on a terminal, stopped half-way, and where a lab cannot be made. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { SCENARIO_NAMES } from '../../src/lab/scenario/catalogue.ts';
import { run } from '../../src/sys/process.ts';
import { within } from '../support/eventually.ts';
import { lab, labName, needsLab, tracesOf } from '../support/lab.ts';
import { withoutColour } from '../support/terminal.ts';

const possible = needsLab();

/** `lab run NAME --slow` on a terminal (`script`): Enter for each prompt but the last, and for that one `last`. */
async function answerPrompts(name: string, prompts: number, last: string) {
  const line = `exec '${TULLE}' lab run netns-veth --slow --name ${name}`;
  const terminal = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null']);
  // Its last words come before that, and not always before its end.
  const ended = once(terminal, 'close');
  // It may have ended when it is answered.
  terminal.stdin.on('error', () => undefined);
  let text = '';
  let asked = 0;
  terminal.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    const asks = text.split('Enter to go on. ').length - 1;
    for (; asked < asks; asked++) terminal.stdin.write(asked + 1 < prompts ? '\n' : last);
  });
  try {
    const [status] = await within(`${name} to end`, ended, 180_000);
    return { status, text: withoutColour(text).replaceAll('\r', '') };
  } finally {
    terminal.kill();
  }
}

describe('lab run --slow', possible, () => {
  test('waits for Enter before each step', async () => {
    const name = labName();
    const { status, text } = await answerPrompts(name, 6, '\n');
    assert.equal(status, 0, text);
    assert.match(text, /^Next: See what ARP has found\. Enter to go on\. \n+6\. See what ARP has found$/m);
    assert.match(text, /^passed {2}netns-veth: 6 steps/m);
  });

  for (const [key, last, status] of [
    ['Ctrl-C', '\x03', 130],
    ['Ctrl-D', '\x04', 129],
  ] as const)
    test(`ends with ${key}, and nothing is left`, async () => {
      const name = labName();
      const stopped = await answerPrompts(name, 2, last);
      assert.equal(stopped.status, status, stopped.text);
      assert.match(stopped.text, /^1\. Make two network namespaces$/m);
      assert.doesNotMatch(stopped.text, /^2\.|error|defect/m);
      assert.deepEqual(await tracesOf(name), []);
    });
});

test('lab run all says of each experiment why its lab cannot be made', possible, async t => {
  // What bin/tulle itself needs, and nothing else.
  const path = mkdtempSync(join(tmpdir(), 'tt-path-'));
  t.after(() => rmSync(path, { recursive: true }));
  const { stdout: readlink } = await run('which', ['readlink']);
  symlinkSync(readlink.trim(), join(path, 'readlink'));
  const { status, stdout } = await lab(['run', 'all'], { env: { PATH: path } });
  assert.equal(status, 3, stdout);
  assert.equal(stdout.split('expected: the lab can be made').length - 1, SCENARIO_NAMES.length, stdout);
  assert.match(stdout, /seen: not installed: .*tshark/);
});
