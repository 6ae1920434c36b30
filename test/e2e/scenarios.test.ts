/**
 * Every scenario of the guide passes, leaves nothing behind, and fails when a step is left out that its result depends
 * on: a check that nothing can break proves nothing to a reader. What passes on its wires meanwhile is read by our
 * decoder and by tshark, and they agree.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { masked } from '../../scripts/learn/mask.ts';
import { blocksIn, blockText, byStep } from '../../scripts/learn/page.ts';
import { existingPagesOf as pagesOf } from '../../scripts/learn/pages.ts';
import { messageOf } from '../../src/base/errors.ts';
import { loadScenario, SCENARIO_NAMES } from '../../src/lab/scenario/catalogue.ts';
import { performScenario } from '../../src/lab/scenario/perform.ts';
import type { ScenarioReport, ScenarioStep } from '../../src/lab/scenario/scenario.ts';
import { agreementOn, agreementText } from '../support/agreement.ts';
import { isFastPathOff } from '../support/both-ways.ts';
import { needsRoot } from '../support/capabilities.ts';
import { labName, tracesOf } from '../support/lab.ts';
import { ScenarioCapture } from '../support/scenario-capture.ts';
import { firstDifference, scenarioFailure } from '../support/scenario-failure.ts';
import { needsTshark } from '../support/tshark.ts';

/** Milliseconds: more than the slowest takes on a busy machine. */
const PATIENCE = 215_000;

interface Performed {
  readonly report: ScenarioReport;
  /** Of all that passed; it has ended. */
  readonly capture: ScenarioCapture;
}

async function perform(name: string): Promise<Performed> {
  const lab = labName();
  const scenario = await loadScenario(name);
  using capture = new ScenarioCapture(lab);
  let begun = 'before the first step';
  const beforeStep = ({ id }: ScenarioStep) => {
    begun = `in the step ${id}`;
    return capture.nextStep();
  };
  let report: ScenarioReport;
  try {
    await using performance = await performScenario(scenario, { name: lab, signal: patience(), beforeStep });
    report = performance.report;
    capture.end();
  } catch (cause) {
    throw new Error(`${name} broke off ${begun}: ${messageOf(cause)}`, { cause });
  }
  assert.deepEqual(await tracesOf(lab), []);
  return { report, capture };
}

async function performWithout(step: string, name: string): Promise<ScenarioReport> {
  const lab = labName();
  const options = { name: lab, signal: patience(), without: step };
  let report: ScenarioReport;
  {
    await using performance = await performScenario(await loadScenario(name), options);
    report = performance.report;
  }
  assert.deepEqual(await tracesOf(lab), []);
  return report;
}

const patience = () => AbortSignal.timeout(PATIENCE);

/** What a scenario is about, as it is on a wire. */
interface Subject {
  /** Layers that follow each other in a frame. */
  readonly layers: readonly string[];
  readonly vnis?: readonly number[];
}

const PING_IN_VXLAN = 'ethernet ipv4 udp vxlan ethernet ipv4 icmp';
const PING_IN_UDP = 'ethernet ipv4 udp ipv4 icmp';

const SUBJECTS: Readonly<Record<string, Subject>> = {
  'netns-veth': { layers: ['ethernet arp', 'ethernet ipv4 icmp'] },
  'netns-bridge': { layers: ['ethernet arp', 'ethernet ipv4 icmp'] },
  'docker-bridge': { layers: ['ethernet ipv4 tcp'] },
  'vni-isolation': { layers: ['vxlan ethernet arp', PING_IN_VXLAN], vnis: [5000, 16_777_215] },
  'p2p-vxlan': { layers: ['vxlan ethernet arp', PING_IN_VXLAN], vnis: [1] },
  'docker-l2': { layers: ['vxlan ethernet arp', PING_IN_VXLAN, 'vxlan ethernet ipv4 tcp'], vnis: [200] },
  flannel: { layers: [PING_IN_VXLAN], vnis: [88] },
  backends: { layers: [PING_IN_VXLAN, PING_IN_UDP], vnis: [88] },
  'l2-questions': { layers: ['vxlan ethernet arp', PING_IN_VXLAN, PING_IN_UDP], vnis: [88, 900] },
  'docker-drivers': { layers: [PING_IN_VXLAN], vnis: [88] },
};

/** Those in which no packet of a network of an agent flows. A tunnel of its own has no fast path. */
const WITHOUT_NETWORK = ['netns-veth', 'netns-bridge', 'docker-bridge', 'vni-isolation', 'p2p-vxlan'];

describe('scenarios', { ...needsRoot, concurrency: 2 }, () => {
  for (const name of SCENARIO_NAMES) {
    if (isFastPathOff && WITHOUT_NETWORK.includes(name)) continue;

    test(`${name} passes`, async t => {
      const { report, capture } = await perform(name);
      assert.ok(report.passed, scenarioFailure(report));
      await t.test('our decoder and tshark agree on its frames', needsTshark, async t => {
        const directory = mkdtempSync(join(tmpdir(), 'tt-scenario-'));
        t.after(() => rmSync(directory, { recursive: true }));
        const file = join(directory, 'all.pcapng');
        capture.write(file);
        const agreement = await agreementOn(file, capture.vxlanPorts);
        t.diagnostic(`${name}: ${capture.summary}; ${agreementText(agreement)}`);
        const { layers, vnis = [] } = SUBJECTS[name] ?? assert.fail(`say what ${name} is about`);
        const stacks = [...agreement.stacks];
        for (const want of layers)
          assert.ok(
            stacks.some(stack => stack.includes(want)),
            `no frame with ${want} in\n${stacks.join('\n')}`,
          );
        for (const vni of vnis) assert.ok(agreement.vnis.has(`${vni}`), `no frame with VNI ${vni}`);
      });
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
        for (const { kind, id, text } of blocks) {
          const difference = firstDifference(masked(text), masked(blockText(kind, reports.get(id))));
          assert.equal(difference, undefined, `${path} has another ${kind} ${id}:\n${difference}`);
        }
      }
    });

    // Which step its result depends on is a question to the page, whatever way its packets go.
    if (isFastPathOff) continue;

    test(`${name} fails without a key step`, async () => {
      const { steps } = await loadScenario(name);
      const keys = steps.filter(({ key }) => key === true);
      assert.ok(keys.length > 0, 'no step is marked as key');
      for (const { id } of keys) {
        const report = await performWithout(id, name);
        assert.ok(!report.passed, `${name} passes without ${id}`);
      }
    });
  }
});
