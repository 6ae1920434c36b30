/** `tulle lab break` and `tulle lab mend`: faults planted in a lab, to learn how they look and to test who names them. */
import { Argument, Command, Option } from 'commander';
import { CommandError } from '../../console/errors.ts';
import { withExamples } from '../../console/help.ts';
import { offering } from '../../console/offers.ts';
import { jsonOption } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { wrap } from '../../console/table.ts';
import { LabError } from '../errors.ts';
import { FAULTS, findFault } from '../faults/catalogue.ts';
import type { Fault } from '../faults/fault.ts';
import { describeFault, explainFault, listFaults } from '../faults/fault-view.ts';
import { type Mended, mendFaults, plantable, plantFault } from '../faults/plant.ts';
import { findTarget } from '../record/find.ts';
import { type PlantedFault, requireRecord } from '../record/record.ts';
import { nameFlag } from '../topology/lab-name.ts';
import { type Named, nameOption } from './shared.ts';

interface BreakOptions extends Named {
  readonly list?: true;
  readonly explain?: string;
  readonly surprise?: true;
}

export function breakCommand(): Command {
  const command = new Command('break')
    .description('Plant a fault in a lab: in a host (docker1) or in a container of it (docker1/c1).')
    .addArgument(offering(new Argument('[target]', 'host, or host/container'), 'lab-breakable'))
    .argument('[fault]', 'one of --list')
    .addOption(new Option('--list', 'list all faults').conflicts(['explain', 'surprise']))
    .addOption(
      offering(
        new Option('--explain <fault>', 'tell what a fault does and how to find it by hand'),
        FAULTS.map(({ name }) => name),
      ).conflicts('surprise'),
    )
    .addOption(new Option('--surprise', 'plant any fault that loses packets, and do not say which'))
    .addOption(nameOption())
    .addOption(jsonOption())
    .action((target: string | undefined, fault: string | undefined, options: BreakOptions) =>
      untilStopped(signal => breakLab(target, fault, options, signal)),
    );
  return withExamples(command, [
    { line: 'lab break --list', does: 'all faults, by place' },
    { line: 'lab break --explain one-way-out', does: 'one of them' },
    { line: 'lab break docker2 udp-blocked', does: 'plant it; see it with `tulle lab ping`' },
    { line: 'lab break docker2/c1 container-no-default-route', does: 'plant it in one container' },
    { line: 'lab break docker2 --surprise', does: 'for learners: find out what it is' },
  ]);
}

async function breakLab(
  target: string | undefined,
  name: string | undefined,
  options: BreakOptions,
  signal: AbortSignal,
): Promise<void> {
  if (options.list === true || options.explain !== undefined) {
    if (target !== undefined)
      throw new CommandError('USAGE', `${target}: nothing is planted with --list and --explain`);
    return show(options);
  }
  if (target === undefined) {
    throw new CommandError(
      'USAGE',
      'want a host, or host/container',
      'tulle lab break --list shows what can be planted',
    );
  }
  const fault = await chosen(target, name, options);
  const { surprise = false } = options;
  const planted = await plantFault({ lab: options.name, target, fault, surprise }, signal);
  const place = placeOf(planted, fault);
  const flag = nameFlag(options.name);
  if (options.json === true)
    return printJson({ ...place, ...(surprise ? { surprise } : { fault: fault.name }) });
  print(
    surprise
      ? `something is wrong on ${planted.host}`
      : wrap(`${fault.name} is planted in ${textOf(place)}: ${fault.title}`, 2),
  );
  note(`see it: tulle lab ping${flag}; end it: tulle lab mend${flag}`);
}

function show({ explain, json }: BreakOptions): void {
  if (explain === undefined)
    return json === true ? printJson(FAULTS.map(describeFault)) : print(listFaults(FAULTS));
  const fault = findFault(explain);
  if (json === true) printJson(describeFault(fault));
  else print(explainFault(fault));
}

/** What is to be planted. @throws CommandError, LabError */
async function chosen(target: string, name: string | undefined, options: BreakOptions): Promise<Fault> {
  if (options.surprise !== true) {
    if (name !== undefined) return findFault(name);
    throw new CommandError(
      'USAGE',
      `what is to be planted in ${target}?`,
      'tulle lab break --list has all faults; or use --surprise',
    );
  }
  if (name !== undefined)
    throw new CommandError('USAGE', `${name}: with --surprise the fault is chosen for you`);
  const loses = (await plantable(options.name, target)).filter(({ effect }) => effect !== 'later');
  const fault = loses[Math.floor(Math.random() * loses.length)];
  if (fault === undefined) throw new LabError('UNSUPPORTED', `there is nothing left to plant in ${target}`);
  return fault;
}

const placeOf = ({ host, container }: PlantedFault, { on }: Fault) =>
  on === 'container' ? { host, container } : { host };
const textOf = ({ host, container }: { readonly host: string; readonly container?: string }) =>
  container === undefined ? host : `${host}/${container}`;

interface MendOptions extends Named {
  readonly all?: true;
}

export function mendCommand(): Command {
  const command = new Command('mend')
    .description(
      'Mend what was planted with `tulle lab break`: the only fault there is, or the one that is named.',
    )
    .addArgument(offering(new Argument('[host]', 'host of the lab, or host/container'), 'lab-broken'))
    .argument('[fault]', 'what was planted there')
    .option('--all', 'everything that was planted, or all of this host')
    .addOption(nameOption())
    .addOption(jsonOption())
    .action((host: string | undefined, fault: string | undefined, options: MendOptions) =>
      untilStopped(async signal => {
        const mended = await mendFaults(options.name, choice(host, fault, options), signal);
        if (options.json === true) printJson(mended.map(describeMended));
        else if (mended.length > 0) print(mended.map(mendedText).join('\n\n'));
        const failed = mended.flatMap(({ planted, failures }) =>
          failures.map(each => `${planted.fault}: ${each}`),
        );
        if (failed.length === 0) return;
        throw new LabError('MEND_FAILED', `not all could be mended: ${failed.join('; ')}`, {
          hint: `boot the host again: tulle lab restart${nameFlag(options.name)} ${mended[0]?.planted.host}`,
        });
      }),
    );
  return withExamples(command, [
    { line: 'lab mend', does: 'the fault that was planted; a surprise is named' },
    { line: 'lab mend docker2 udp-blocked', does: 'one of several' },
    { line: 'lab mend --all', does: 'everything' },
  ]);
}

/** Which of the planted faults a command line means. */
function choice(host: string | undefined, name: string | undefined, { name: labName, all }: MendOptions) {
  if (name !== undefined) findFault(name);
  if (host !== undefined) findTarget(requireRecord(labName), host);
  return (planted: readonly PlantedFault[]): readonly PlantedFault[] => {
    const meant = planted.filter(
      each => (host === undefined || isAt(each, host)) && (name === undefined || each.fault === name),
    );
    const where = host === undefined ? `lab ${labName}` : host;
    if (meant.length === 0) {
      if (all === true) return [];
      const what = name === undefined ? 'nothing' : `no ${name}`;
      throw new LabError('PLANTED', `${what} is planted in ${where}`, {
        hint: plantedText(planted, labName),
      });
    }
    if (meant.length > 1 && all !== true) {
      throw new LabError('PLANTED', `several faults are planted in ${where}`, {
        hint: `${plantedText(meant, labName)}; name one, or mend them with --all`,
      });
    }
    return meant;
  };
}

/** @param place a host, or HOST/CONTAINER */
const isAt = (each: PlantedFault, place: string): boolean =>
  each.host === place || textOf(placeOf(each, findFault(each.fault))) === place;

function plantedText(planted: readonly PlantedFault[], lab: string): string {
  if (planted.length === 0) return `plant one with: tulle lab break${nameFlag(lab)} HOST FAULT`;
  return planted
    .map(each => {
      // Where a surprise is would tell too much of what it is.
      if (each.surprise) return `${each.host}: a surprise`;
      return `${textOf(placeOf(each, findFault(each.fault)))}: ${each.fault}`;
    })
    .join(', ');
}

const describeMended = ({ planted, failures, already }: Mended) => ({
  fault: planted.fault,
  ...placeOf(planted, findFault(planted.fault)),
  surprise: planted.surprise,
  already,
  failures,
});

function mendedText({ planted, already }: Mended): string {
  const fault = findFault(planted.fault);
  const where = textOf(placeOf(planted, fault));
  if (!planted.surprise) return `${fault.name} is mended in ${where}${already ? ', by hand before' : ''}`;
  const what = `it was ${fault.name} in ${where}: ${fault.title}`;
  return `${wrap(what, 2)}${already ? '\nyou have mended it already' : ''}\n\n${wrap(fault.story, 0)}`;
}
