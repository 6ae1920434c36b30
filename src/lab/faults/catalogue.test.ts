import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { FAULTS, findFault } from './catalogue.ts';
import { PLACES } from './fault.ts';
import { explainFault, listFaults } from './fault-view.ts';
import { PLACEHOLDERS } from './scene.ts';
import { commandOf, FaultStep } from './step.ts';

test('faults have names of their own, and there are some at every place', () => {
  const names = FAULTS.map(({ name }) => name);
  assert.deepEqual(new Set(names).size, names.length);
  assert.deepEqual(
    names.filter(name => !/^[a-z][a-z0-9-]*$/.test(name)),
    [],
  );
  const places = new Set(FAULTS.map(({ place }) => place));
  assert.deepEqual(
    Object.keys(PLACES).filter(place => !places.has(place as keyof typeof PLACES)),
    [],
  );
});

test('steps are what a record can hold, and mending ends with what planting began', () => {
  for (const { name, plant, mend } of FAULTS) {
    const steps = [...plant(PLACEHOLDERS), ...mend(PLACEHOLDERS)];
    for (const step of steps) {
      assert.ok(v.safeParse(FaultStep, step).success, `${name}: ${commandOf(step)}`);
      assert.doesNotMatch(commandOf(step), /undefined|NaN/, name);
    }
    // A value of the kernel is put back as it was; everything else has a step that undoes it.
    const undoneByItself = plant(PLACEHOLDERS).every(({ kind }) => kind === 'sysctl');
    assert.ok(undoneByItself || mend(PLACEHOLDERS).length > 0, `${name} is mended`);
  }
});

test('a fault says how a person finds it, and what a check may say', () => {
  for (const { name, title, story, finds, effect } of FAULTS) {
    assert.ok(title.length <= 80, `${name}: ${title}`);
    assert.match(story, /[.]$/, name);
    for (const code of [...finds.here, ...finds.there]) assert.match(code, /^[A-Z][A-Z0-9_]+$/, name);
    if (effect !== 'later') assert.ok(finds.here.length > 0, `${name} has findings`);
  }
});

test('the list is grouped by place', () => {
  const list = listFaults(FAULTS);
  assert.match(list, /^in a container\n {2}container-link-down +the link of a container is down$/m);
  assert.match(list, /^routes$/m);
});

test('an explanation has names in place of what only a lab knows', () => {
  assert.equal(
    explainFault(findFault('route-blackhole')),
    `fault       route-blackhole
what        a blackhole route takes the peer's containers
where       a host
effect      no packet arrives
check says  ROUTE_BLACKHOLE or ROUTE_CAPTURES

Left over from fighting an attack. By hand: \`ip route get CONTAINER\` says Invalid argument or blackhole.

plant:
  host       ip route add blackhole PEER_CONTAINER_IP/32

mend:
  host       ip route delete blackhole PEER_CONTAINER_IP/32`,
  );
});

test('a name that does not exist is refused with the one that was meant', () => {
  assert.throws(() => findFault('one-way-ot'), { code: 'NOT_FOUND', hint: /did you mean one-way-out/ });
  assert.throws(() => findFault('one-way'), {
    hint: /did you mean one-way-in, one-way-out\?|did you mean one-way-out, one-way-in\?/,
  });
});
