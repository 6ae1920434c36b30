import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const LINES = 20_000;

test('what is printed arrives whole, also when it is more than a pipe takes at once', () => {
  const program = `
    import { outputWritten, print } from ${JSON.stringify(import.meta.resolve('./output.ts'))};
    for (let line = 0; line < ${LINES}; line++) print('x'.repeat(99));
    await outputWritten();
    process.exit(0);
  `;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    maxBuffer: 2 ** 26,
  });
  assert.equal(status, 0);
  assert.equal(stdout.byteLength, LINES * 100);
});
