/** `tulle lab`: several hosts on this machine, to try Tulle, to reproduce a fault, and to test against. */
import { Argument, Command, Option } from 'commander';
import { EXIT } from '../console/exit-codes.ts';
import { formatCount } from '../console/format.ts';
import { withExamples } from '../console/help.ts';
import { offering } from '../console/offers.ts';
import { integer, jsonOption } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { untilStopped } from '../console/signals.ts';
import { formatTable } from '../console/table.ts';
import { breakCommand, mendCommand } from './commands/fault-commands.ts';
import {
  agentCommands,
  dockerCommands,
  labCaptureCommand,
  restartCommand,
} from './commands/host-commands.ts';
import { familyOption, type Named, nameOption, withLog } from './commands/shared.ts';
import { labUpCommand } from './commands/up-command.ts';
import { runDemo } from './demo.ts';
import { execIn, exitStatusOf } from './exec.ts';
import { destroyLab } from './lab.ts';
import { labAsItIs } from './record/as-it-is.ts';
import { endedLabs, requireRecord, runningLabs } from './record/record.ts';
import { describeLab, LAB_COLUMNS } from './record/record-view.ts';
import { requireRootForLab } from './requirements.ts';
import { scenarioCommand } from './scenario/scenario-command.ts';
import type { LabFamily } from './topology/simple.ts';
import { formatMatrix } from './traffic/matrix.ts';
import { pingAll } from './traffic/ping.ts';

export function labCommand(): Command {
  const command = new Command('lab')
    .description(
      'Hosts made of namespaces on this machine: each has its own network, processes and agent, and its own ' +
        'files in /etc, /run and /var/lib. They change nothing outside, and leave nothing behind.',
    )
    // All commands have this; commander insists that it is said before `exec` is added.
    .enablePositionalOptions()
    .addCommand(labUpCommand())
    .addCommand(down())
    .addCommand(list())
    .addCommand(exec())
    .addCommand(labCaptureCommand())
    .addCommand(restartCommand())
    .addCommand(agentCommands())
    .addCommand(dockerCommands())
    .addCommand(ping())
    .addCommand(breakCommand())
    .addCommand(mendCommand())
    .addCommand(scenarioCommand())
    .addCommand(demo());
  return withExamples(command, [
    { line: 'lab up --hosts 3', does: 'three hosts with two containers each' },
    { line: 'lab exec docker1 -- tulle status', does: 'the status of one host' },
    { line: 'lab ping', does: 'which containers reach each other' },
    { line: 'lab down', does: 'remove every trace' },
  ]);
}

function down(): Command {
  const command = new Command('down')
    .description('Remove a lab and every trace of it. Succeeds if there is none.')
    .addOption(nameOption())
    .addOption(jsonOption())
    .action(async ({ name, json }: Named) => {
      const existed = await destroyLab(name);
      if (json === true) printJson({ name, existed });
      else print(existed ? `lab ${name} is gone` : `there was no lab named ${name}`);
    });
  return withExamples(command, [{ line: 'lab down --name pair', does: 'remove the lab with this name' }]);
}

function list(): Command {
  const command = new Command('list')
    .description('List the labs on this machine.')
    .addOption(jsonOption())
    .action(({ json }: Pick<Named, 'json'>) =>
      untilStopped(async signal => {
        requireRootForLab();
        const labs = await Promise.all(runningLabs().map(record => labAsItIs(record, signal)));
        if (json === true) return printJson(labs.map(describeLab));
        print(labs.length === 0 ? 'no labs' : formatTable(LAB_COLUMNS, labs));
        const ended = endedLabs();
        if (ended.length > 0) note(`ended, and removed by the next \`tulle lab up\`: ${ended.join(', ')}`);
      }),
    );
  return withExamples(command, [
    { line: "lab list --json | jq '.[].hosts[].address'", does: 'where the hosts are, for a script' },
  ]);
}

function exec(): Command {
  const command = new Command('exec')
    .description('Run a program in a host (docker1) or in a container of it (docker1/c1).')
    .addArgument(offering(new Argument('<target>', 'host, or host/container'), 'lab-targets'))
    .argument('<program...>', 'program and its arguments')
    .addOption(nameOption())
    .passThroughOptions()
    .action(async (target: string, words: string[], { name }: Named) => {
      // Options after the target are the program's, and so commander hands on the separator, too.
      const [program = '', ...args] = words[0] === '--' ? words.slice(1) : words;
      process.exitCode = exitStatusOf(await execIn(requireRecord(name), target, program, args));
    });
  return withExamples(command, [
    { line: 'lab exec docker1 -- ip route', does: "the host's routes" },
    { line: 'lab exec docker1/c1 -- ping 188.172.50.2', does: 'ping from a container' },
    { line: 'lab exec --name pair docker2 -- bash', does: 'a shell on a host of another lab' },
  ]);
}

function ping(): Command {
  const command = new Command('ping')
    .description(
      'Ping every container from all other hosts that have containers or a subnet, and from their containers.',
    )
    .addOption(new Option('--count <n>', 'packets per pair').argParser(integer(1, 10_000)).default(3))
    .addOption(nameOption())
    .addOption(jsonOption())
    .action(({ name, count, json }: Named & { readonly count: number }) =>
      untilStopped(async signal => {
        const report = await pingAll(requireRecord(name), { count, signal });
        if (json === true) printJson(report);
        else {
          print(formatMatrix(report));
          print(`${formatCount(report.pairs, 'pair')}, ${report.sent} packets sent, ${report.lost} lost`);
        }
        if (report.lost > 0) process.exitCode = EXIT.differs.status;
      }),
    );
  return withExamples(command, [
    {
      line: 'lab ping --count 10 || tulle lab exec docker1 -- tulle status',
      does: 'show the status if packets are lost',
    },
  ]);
}

function demo(): Command {
  const command = new Command('demo')
    .description(
      'Three hosts, the reachability matrix, and the journey of one packet; what `npm start` runs.',
    )
    .addOption(familyOption())
    .addOption(nameOption())
    .action(({ name, family }: Named & { readonly family: LabFamily }) =>
      untilStopped(signal => withLog(runDemo({ name, family }, signal))),
    );
  return withExamples(command, [
    { line: 'lab demo', does: 'see it once, and explore it until Ctrl-C' },
    { line: 'lab demo --family dual', does: 'the same with IPv6 beside IPv4' },
  ]);
}
