/**
 * Every scenario of the guide passes, leaves nothing behind, and fails when a step is left out that its result depends
 * on: a check that nothing can break proves nothing to a reader.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { masked } from '../../scripts/learn/mask.ts';
import { blocksIn, blockText, byStep } from '../../scripts/learn/page.ts';
import { existingPagesOf as pagesOf } from '../../scripts/learn/pages.ts';
import { loadScenario, SCENARIO_NAMES } from '../../src/lab/scenario/catalogue.ts';
import { performScenario } from '../../src/lab/scenario/perform.ts';
import type { ScenarioReport } from '../../src/lab/scenario/scenario.ts';
import { stepText } from '../../src/lab/scenario/scenario-text.ts';
import { needsRoot } from '../support/capabilities.ts';
import { labName, tracesOf } from '../support/lab.ts';

/** Milliseconds: more than the slowest takes on a busy machine. */
const PATIENCE = 180_000;

async function perform(name: string, without?: string): Promise<ScenarioReport> {
  const lab = labName();
  const signal = AbortSignal.timeout(PATIENCE);
  const scenario = await loadScenario(name);
  const options = { name: lab, signal, ...(without === undefined ? {} : { without }) };
  let report: ScenarioReport;
  {
    await using performance = await performScenario(scenario, options);
    report = performance.report;
  }
  assert.deepEqual(await tracesOf(lab), []);
  return report;
}

const textOf = ({ steps }: ScenarioReport) =>
  steps.map((step, index) => stepText(step, index + 1)).join('\n\n');

describe('scenarios', { ...needsRoot, concurrency: 2 }, () => {
  for (const name of SCENARIO_NAMES) {
    test(`${name} passes`, async () => {
      const report = await perform(name);
      assert.ok(report.passed, textOf(report));
      const scenario = await loadScenario(name);
      const reports = byStep(scenario, report.steps);
      for (const path of pagesOf(name)) {
        const blocks = blocksIn(readFileSync(path, 'utf8'));
        assert.deepEqual(
          blocks.map(({ id }) => id),
          scenario.steps.map(({ id }) => id),
          `${path} has other steps`,
        );
        // `npm run learn` writes them anew.
        for (const { kind, id, text } of blocks)
          assert.deepEqual(
            { path, id, shows: masked(text) },
            { path, id, shows: masked(blockText(kind, reports.get(id))) },
          );
      }
    });

    test(`${name} fails without a key step`, async () => {
      const { steps } = await loadScenario(name);
      const keys = steps.filter(({ key }) => key === true);
      assert.ok(keys.length > 0, 'no step is marked as key');
      for (const { id } of keys) {
        const report = await perform(name, id);
        assert.ok(!report.passed, `passes without ${id}:\n${textOf(report)}`);
      }
    });
  }
});
