/** What holds for every scenario, before any of it is run. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadScenario, SCENARIO_NAMES } from './catalogue.ts';
import { parseCommandLine } from './command-line.ts';

describe('scenarios', () => {
  for (const name of SCENARIO_NAMES) {
    test(`${name} is complete`, async () => {
      const { drawing, steps, topology, ...scenario } = await loadScenario(name);
      assert.equal(scenario.name, name);
      for (const line of drawing.split('\n'))
        assert.ok(line.length <= 80, `the drawing is too wide: ${line}`);
      assert.equal(new Set(steps.map(({ id }) => id)).size, steps.length, 'an id is used twice');
      for (const { id, on, commands = [], act, equivalent = [], checks = [] } of steps) {
        assert.ok(on.split('/')[0]! in topology.hosts, `${id}: there is no host ${on}`);
        assert.ok(commands.length > 0 || act !== undefined, `${id} does nothing`);
        if (act !== undefined) assert.ok(commands.length + equivalent.length > 0, `${id} says no command`);
        const lines = [...commands, ...checks.flatMap(({ command }) => command ?? [])];
        for (const command of lines) parseCommandLine(typeof command === 'string' ? command : command.line);
      }
      assert.ok(
        steps.some(({ checks = [] }) => checks.length > 0),
        'checks nothing',
      );
      assert.ok(
        steps.some(({ key }) => key === true),
        'no step is marked as key',
      );
    });
  }
});
