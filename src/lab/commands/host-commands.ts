/** Commands on one host of a lab: it boots again, its agent and its dockerd are stopped and started, its frames shown. */
import { readFileSync } from 'node:fs';
import { Argument, Command, Option } from 'commander';
import { messageOf, ParseError } from '../../base/errors.ts';
import { valuesOf } from '../../base/per-family.ts';
import { withExamples } from '../../console/help.ts';
import { offering } from '../../console/offers.ts';
import { jsonOption } from '../../console/options.ts';
import { print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { restartDockerOn, startAgentOn, stopAgentOn } from '../control.ts';
import { execIn, exitStatusOf } from '../exec.ts';
import { TULLE } from '../host/host.ts';
import { requireRecord } from '../record/record.ts';
import { describeHost } from '../record/record-view.ts';
import { restartHost } from '../restart.ts';
import { jsonObject, type Named, nameOption, withLog } from './shared.ts';

const hostArgument = () => offering(new Argument('<host>', 'host of the lab'), 'lab-hosts');

export function restartCommand(): Command {
  const command = new Command('restart')
    .description(
      'Boot a host again: everything that runs on it ends at once, its disk (/etc, /var/lib) stays, and store, agent, ' +
        'dockerd and containers start as they did. The other hosts go on.',
    )
    .addArgument(hostArgument())
    .addOption(nameOption())
    .addOption(jsonOption())
    .action((host: string, { name, json }: Named) =>
      untilStopped(async signal => {
        const record = await withLog(restartHost(name, host, signal));
        if (json === true) printJson(describeHost(record));
        else print(`${host} is up again`);
      }),
    );
  return withExamples(command, [
    { line: 'lab restart docker2', does: 'what a power failure does to a host, and to its peers' },
  ]);
}

export function agentCommands(): Command {
  const command = new Command('agent')
    .description('Stop and start the agent of a host.')
    .enablePositionalOptions()
    .addCommand(agentStop())
    .addCommand(agentStart());
  return withExamples(command, [
    {
      line: 'lab agent stop docker1',
      does: 'containers still reach each other: see it with `tulle lab ping`',
    },
  ]);
}

function agentStop(): Command {
  const command = new Command('stop')
    .description('Stop the agent of a host. Succeeds if none runs.')
    .addArgument(hostArgument())
    .addOption(nameOption())
    .addOption(jsonOption())
    .action(async (host: string, { name, json }: Named) => {
      const existed = await stopAgentOn(name, host);
      if (json === true) printJson({ host, existed });
      else print(existed ? `the agent of ${host} has stopped` : `no agent runs on ${host}`);
    });
  return withExamples(command, [{ line: 'lab agent stop docker1', does: 'as before an update' }]);
}

function agentStart(): Command {
  const command = new Command('start')
    .description("Start the agent of a host, with the lab's flags and further ones. Succeeds if one runs.")
    .addArgument(hostArgument())
    .argument('[flags...]', 'further flags of the agent')
    .addOption(nameOption())
    .addOption(jsonOption())
    .passThroughOptions()
    .action((host: string, words: string[], { name, json }: Named) =>
      untilStopped(async signal => {
        const flags = words[0] === '--' ? words.slice(1) : words;
        const subnet = await withLog(startAgentOn(name, host, flags, signal));
        const blocks = valuesOf(subnet?.subnet ?? {}).map(String);
        if (json === true) printJson({ host, started: subnet !== undefined, subnets: blocks });
        else if (subnet === undefined) print(`an agent runs on ${host} already`);
        else print(`the agent of ${host} has ${blocks.join(' and ')}`);
      }),
    );
  return withExamples(command, [
    { line: 'lab agent start docker1', does: 'as it was started with the lab' },
    { line: 'lab agent start --name pair docker1 --iptables-resync 1', does: 'with a further flag' },
  ]);
}

export function dockerCommands(): Command {
  const command = new Command('docker')
    .description('The dockerd of a host.')
    .enablePositionalOptions()
    .addCommand(dockerRestart());
  return withExamples(command, [
    { line: 'lab docker restart docker1', does: 'after you have edited its /etc/docker/daemon.json' },
  ]);
}

function dockerRestart(): Command {
  const command = new Command('restart')
    .description("Stop dockerd and start it again, and with it the lab's containers.")
    .addArgument(hostArgument())
    .addOption(new Option('--config <file>', "replaces the host's daemon.json; - is standard input"))
    .addOption(nameOption())
    .addOption(jsonOption())
    .action((host: string, { name, json, config }: Named & { readonly config?: string }) =>
      untilStopped(async signal => {
        const containers = await withLog(
          restartDockerOn(name, host, config === undefined ? {} : { config: readConfig(config) }, signal),
        );
        if (json === true) {
          printJson({ host, containers: containers.map(each => ({ name: each.name, ips: each.ip })) });
          return;
        }
        const places = containers.map(each => `${each.name} ${valuesOf(each.ip).join(' ')}`);
        print(`dockerd of ${host} is up again${places.length === 0 ? '' : `: ${places.join(', ')}`}`);
      }),
    );
  return withExamples(command, [
    { line: 'lab docker restart docker1 --config daemon.json', does: 'with another configuration' },
  ]);
}

/** @throws ParseError */
function readConfig(file: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new ParseError('a file that can be read', file, messageOf(error));
  }
  return jsonObject(text);
}

export function labCaptureCommand(): Command {
  const command = new Command('capture')
    .description(
      "Show a host's frames: `tulle capture` in a host (docker1) or in a container of it (docker1/c1).",
    )
    .addArgument(offering(new Argument('<target>', 'host, or host/container'), 'lab-targets'))
    .argument('[words...]', 'arguments of `tulle capture`')
    .addOption(nameOption())
    .passThroughOptions()
    .action(async (target: string, words: string[], { name }: Named) => {
      const args = words[0] === '--' ? words.slice(1) : words;
      process.exitCode = exitStatusOf(await execIn(requireRecord(name), target, TULLE, ['capture', ...args]));
    });
  return withExamples(command, [
    { line: 'lab capture docker1 eth0 -c 4', does: 'four frames of a link, inner and outer headers' },
    { line: 'lab capture docker1 --to docker1.pcapng', does: 'a file for Wireshark' },
  ]);
}
