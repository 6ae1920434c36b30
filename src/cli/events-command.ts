/** `tulle events`: events on this host, past and new. */
import { Command, Option } from 'commander';
import { type AgentEvent, EVENT_TYPES } from '../api/messages.ts';
import { formatCount } from '../console/format.ts';
import { withExamples } from '../console/help.ts';
import { offering } from '../console/offers.ts';
import { duration, integer, list, oneOf, withChoices } from '../console/options.ts';
import { formatJson, note, paint, print, type Style } from '../console/output.ts';
import { untilStopped } from '../console/signals.ts';
import { wrap } from '../console/table.ts';
import { type AgentOption, agentClient, networkOption, socketOption } from './agent-option.ts';

type Severity = AgentEvent['severity'];

interface EventsOptions extends AgentOption {
  readonly json?: true;
  readonly follow?: true;
  readonly after?: number;
  readonly last?: number;
  /** Milliseconds. */
  readonly since?: number;
  readonly type?: readonly string[];
  readonly severity?: Severity;
}

/** From the least to the most serious. */
const SEVERITIES = ['info', 'warning', 'error'] as const satisfies readonly Severity[];

const STYLE: Readonly<Record<Severity, Style>> = {
  info: 'dim',
  warning: 'yellow',
  error: 'red',
};

const YEAR = 365 * 86_400_000;

/** Most types fit, so that the texts begin below each other. */
const TYPE_WIDTH = 'leases-forgotten'.length;

const eventType = oneOf(EVENT_TYPES, 'a type of event');

export function eventsCommand(): Command {
  const command = new Command('events')
    .description('Show what happened on this host: leases, peers, repairs, failures; oldest first.')
    .option('-f, --follow', 'then show new events, until Ctrl-C')
    .addOption(new Option('-n, --last <n>', 'only the last n events').argParser(integer(0, 1_000_000)))
    .addOption(
      new Option('--since <duration>', 'only events newer than this: 90s, 10m, 2h').argParser(
        duration({ min: 0, max: YEAR }),
      ),
    )
    .addOption(
      offering(
        new Option('--type <types>', 'only events of these types, separated by commas'),
        EVENT_TYPES,
      ).argParser(list(eventType)),
    )
    .addOption(
      withChoices(
        new Option('--severity <least>', 'only events of this severity or higher'),
        SEVERITIES,
        'a severity',
      ),
    )
    .addOption(
      new Option('--after <id>', 'only events after this id').argParser(integer(0, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(new Option('--json', 'print one JSON document per line'))
    .addOption(networkOption())
    .addOption(socketOption())
    .action((options: EventsOptions) => untilStopped(signal => showEvents(options, signal)));
  return withExamples(command, [
    { line: 'events', does: 'what the agent remembers' },
    { line: 'events --follow --last 0', does: 'watch a host while you change something' },
    { line: 'events --type drift-repaired --since 1h', does: 'what did other programs change?' },
    { line: 'events --severity warning --last 5', does: 'the last five problems' },
    {
      line: 'events --json | jq \'select(.fields.object == "route")\'',
      does: 'select by the fields of an event',
    },
  ]);
}

async function showEvents(options: EventsOptions, signal: AbortSignal): Promise<void> {
  const { follow = false, last, after = 0 } = options;
  const isWanted = filterOf(options);
  const show = (event: AgentEvent) => print(options.json ? formatJson(event) : formatEvent(event));
  const agent = agentClient(options);
  const remembered = await Array.fromAsync(agent.events({ after, signal }));
  const wanted = remembered.filter(isWanted);
  for (const event of last === undefined ? wanted : wanted.slice(Math.max(0, wanted.length - last)))
    show(event);
  if (!follow) {
    if (wanted.length === 0) {
      note(
        remembered.length === 0
          ? 'there are no events yet'
          : `none of the ${formatCount(remembered.length, 'event')} that the agent remembers`,
      );
    }
    return;
  }
  const seen = remembered.at(-1)?.id ?? after;
  for await (const event of agent.events({ follow, after: seen, signal })) if (isWanted(event)) show(event);
}

function filterOf({ type: types, severity: least = 'info', since }: EventsOptions) {
  const from = since === undefined ? Number.NEGATIVE_INFINITY : Date.now() - since;
  return ({ type, severity: of, time }: AgentEvent): boolean =>
    (types?.includes(type) ?? true) &&
    SEVERITIES.indexOf(of) >= SEVERITIES.indexOf(least) &&
    Date.parse(time) >= from;
}

/** `2026-01-02 03:04:05.678Z  drift-repaired    restored: route ...`. */
function formatEvent({ time, severity: of, type, text }: AgentEvent): string {
  const when = time.replace('T', ' ');
  const padded = type.padEnd(TYPE_WIDTH);
  return wrap(`${paint('dim', when)}  ${paint(STYLE[of], padded)}  ${text}`, when.length + TYPE_WIDTH + 4);
}
