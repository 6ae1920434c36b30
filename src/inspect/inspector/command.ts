/** `tulle inspector`: the process that answers the questions of a check about this host. */
import { Command } from 'commander';
import { type InspectionAnswer, inspectionLine } from '../../api/inspection-lines.ts';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { EXIT } from '../../console/exit-codes.ts';
import { withExamples } from '../../console/help.ts';
import { requireNetworkAdmin } from '../../console/require-root.ts';
import { untilStopped } from '../../console/signals.ts';

interface Options {
  readonly socket: string;
  readonly many?: true;
}

export function inspectorCommand(): Command {
  const command = new Command('inspector')
    .description(
      'Answer one question of a check about this host: a line of JSON on standard input, and lines of JSON on standard ' +
        'output. The agent starts it for checks that run on other hosts. It ends with its standard input.',
    )
    .option('--many', 'answer one question after the other: an empty line ends each, and each answer')
    .option('--socket <path>', 'unix socket of the agent', DEFAULT_SOCKET)
    .action(runCommand);
  return withExamples(command, [{ line: 'inspector', does: 'waits for a question: {"look":{}} is one' }]);
}

async function runCommand({ socket, many }: Options): Promise<void> {
  requireNetworkAdmin('the inspector reads rules and packets');
  const [{ LocalInspector }, { serveInspection, serveInspections }] = await Promise.all([
    import('./local-inspector.ts'),
    import('./serve.ts'),
  ]);
  const open = async () => new LocalInspector({ socketPath: socket });
  const send = (answer: InspectionAnswer) => void process.stdout.write(inspectionLine(answer));
  const stream = { input: process.stdin, send };
  const isServed = await untilStopped(async signal => {
    if (many !== true) return await serveInspection(open, stream, signal);
    await serveInspections(open, { ...stream, endAnswer: () => void process.stdout.write('\n') }, signal);
    return true;
  });
  if (!isServed) process.exitCode = EXIT.failed.status;
}
