/**
 * `npm run learn`: performs the scenarios (all, or those that are named) and puts what they print into the pages of
 * the guide. A test compares the pages with what the scenarios show later (test/e2e/scenarios.test.ts).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { loadScenario, SCENARIO_NAMES } from '../../src/lab/scenario/catalogue.ts';
import { performScenario } from '../../src/lab/scenario/perform.ts';
import { byStep, filled } from './page.ts';
import { existingPagesOf } from './pages.ts';
import { pictures } from './pictures.ts';

const wanted = process.argv.slice(2);
for (const name of wanted.length > 0 ? wanted : SCENARIO_NAMES) {
  const scenario = await loadScenario(name);
  await using performance = await performScenario(scenario, {
    name: `learn-${process.pid}`,
    signal: AbortSignal.timeout(180_000),
  });
  const { passed, steps } = performance.report;
  if (!passed) {
    process.stderr.write(`${name} failed: ${JSON.stringify(steps.at(-1)?.checks, null, 2)}\n`);
    process.exitCode = 1;
    continue;
  }
  for (const path of existingPagesOf(name)) {
    writeFileSync(path, filled(readFileSync(path, 'utf8'), byStep(scenario, steps)));
    process.stdout.write(`${relative(process.cwd(), path)}\n`);
  }
}

const ROOT = join(import.meta.dirname, '../..');
// A picture of a packet shows the frame that its page shows.
for (const [path, text] of await pictures()) writeFileSync(join(ROOT, path), text);
