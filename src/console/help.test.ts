import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HELP_OUTPUT } from './help.ts';

test('help is as wide as the terminal, or as COLUMNS says where there is none, and never wider than a page', t => {
  const { columns } = process.stdout;
  const { COLUMNS } = process.env;
  t.after(() => {
    process.stdout.columns = columns;
    if (COLUMNS === undefined) delete process.env['COLUMNS'];
    else process.env['COLUMNS'] = COLUMNS;
  });
  for (const [terminal, stated, width] of [
    [72, '80', 72],
    [200, '80', 100],
    [undefined, '80', 80],
    [undefined, '200', 100],
    [undefined, '', 100],
    [undefined, '3', 100],
    [undefined, 'wide', 100],
  ] as const) {
    process.stdout.columns = terminal as number;
    process.env['COLUMNS'] = stated;
    assert.equal(HELP_OUTPUT.getOutHelpWidth?.(), width, `${terminal} ${stated}`);
  }
});
