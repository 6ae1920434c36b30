/** Faults as a person, or a script, reads them. */
import { formatFacts, wrap } from '../../console/table.ts';
import { EFFECTS, type Fault, type FaultPlace, PLACES } from './fault.ts';
import { PLACEHOLDERS } from './scene.ts';
import { commandOf, type FaultStep } from './step.ts';

/** Names and titles, a group for each place. */
export function listFaults(faults: readonly Fault[]): string {
  const width = Math.max(...faults.map(({ name }) => name.length));
  return (Object.keys(PLACES) as FaultPlace[])
    .flatMap(place => {
      const group = faults.filter(each => each.place === place);
      return group.length === 0 ? [] : [`${PLACES[place]}\n${groupOf(group, width)}`];
    })
    .join('\n\n');
}

/** What scripts get: all but the commands, which are of a lab. */
export const describeFault = ({ plant: _plant, mend: _mend, ...fault }: Fault) => ({
  ...fault,
  needs: needsOf(fault),
});

const groupOf = (group: readonly Fault[], width: number) =>
  formatFacts(
    group.map(({ name, title }) => [name.padEnd(width), title] as const),
    '  ',
  );

export function explainFault(fault: Fault): string {
  const { name, title, story, effect, on, finds } = fault;
  const facts = formatFacts([
    ['fault', name],
    ['what', title],
    ['where', on === 'container' ? 'one container' : 'a host'],
    ['effect', EFFECTS[effect]],
    ['needs', needsOf(fault)],
    ['check says', [...new Set([...finds.here, ...finds.there])].join(' or ') || 'nothing'],
  ]);
  return [
    facts,
    wrap(story, 0),
    `plant:\n${commandsOf(fault.plant(PLACEHOLDERS))}`,
    `mend:\n${commandsOf(fault.mend(PLACEHOLDERS))}`,
  ].join('\n\n');
}

function needsOf({
  docker,
  sibling,
  kernel,
}: Pick<Fault, 'docker' | 'sibling' | 'kernel'>): string | undefined {
  const needs = [
    ...(docker === true ? ['a real dockerd'] : []),
    ...(sibling === true ? ['two containers on the host'] : []),
    ...(kernel === undefined ? [] : [kernel.what]),
  ];
  return needs.length === 0 ? undefined : needs.join(', ');
}

/** A line for each command, headed by where it runs. */
function commandsOf(steps: readonly FaultStep[]): string {
  const lines = steps.flatMap(step => {
    const [first = '', ...more] = commandOf(step).split('\n');
    return [`  ${whereOf(step).padEnd(9)}  ${first}`, ...more.map(line => `  ${''.padEnd(9)}  ${line}`)];
  });
  return lines.length === 0 ? '  (what was there before)' : lines.join('\n');
}

function whereOf(step: FaultStep): string {
  if (step.kind === 'run' || step.kind === 'sysctl') return step.on;
  return 'daemon' in step && step.daemon === 'store' ? 'store' : 'host';
}
