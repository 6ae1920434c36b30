/** `tulle events`: what happened on this host, and what is happening. */
import { Command, Option } from 'commander';
import type { AgentEvent } from '../api/messages.ts';
import { type AgentOption, agentClient, socketOption } from './agent-option.ts';
import { withExamples } from './help.ts';
import { integer } from './options.ts';
import { formatJson, paint, print, type Style } from './output.ts';
import { untilStopped } from './signals.ts';

interface EventsOptions extends AgentOption {
  readonly json?: true;
  readonly follow?: true;
  readonly after?: number;
}

const STYLE: Readonly<Record<AgentEvent['severity'], Style>> = {
  info: 'dim',
  warning: 'yellow',
  error: 'red',
};

export function eventsCommand(): Command {
  const command = new Command('events')
    .description('Show what happened on this host: leases, peers, repairs, failures; oldest first.')
    .option('-f, --follow', 'then show what happens, until Ctrl-C')
    .addOption(
      new Option('--after <id>', 'only events after this one').argParser(integer(0, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(new Option('--json', 'print one JSON document per line'))
    .addOption(socketOption())
    .action((options: EventsOptions) =>
      untilStopped(async signal => {
        const { follow = false, after } = options;
        const events = agentClient(options).events({
          follow,
          signal,
          ...(after === undefined ? {} : { after }),
        });
        for await (const event of events) print(options.json ? formatJson(event) : formatEvent(event));
      }),
    );
  return withExamples(command, [
    { line: 'events', does: 'what the agent remembers' },
    { line: 'events --follow', does: 'watch a host while something is changed' },
    { line: 'events --json | jq \'select(.type == "drift-repaired")\'', does: 'who touched our routes' },
  ]);
}

/** `2026-01-02 03:04:05.678Z  drift-repaired  put back ...`. */
function formatEvent({ time, severity, type, text }: AgentEvent): string {
  return `${paint('dim', time.replace('T', ' '))}  ${paint(STYLE[severity], type)}  ${text}`;
}
