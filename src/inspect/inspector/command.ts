/** `tulle inspector`: the process that answers the questions of a check about this host. */
import { Command } from 'commander';
import { inspectionLine } from '../../api/inspection-lines.ts';
import { DEFAULT_SOCKET } from '../../api/messages.ts';
import { EXIT } from '../../console/exit-codes.ts';
import { withExamples } from '../../console/help.ts';
import { requireNetworkAdmin } from '../../console/require-root.ts';
import { untilStopped } from '../../console/signals.ts';

interface Options {
  readonly socket: string;
}

export function inspectorCommand(): Command {
  const command = new Command('inspector')
    .description(
      'Answer one question of a check about this host: a line of JSON on standard input, and lines of JSON on standard ' +
        'output. The agent starts it for checks that run on other hosts. It ends with its standard input.',
    )
    .option('--socket <path>', 'unix socket of the agent', DEFAULT_SOCKET)
    .action(runCommand);
  return withExamples(command, [{ line: 'inspector', does: 'waits for a question: {"look":{}} is one' }]);
}

async function runCommand({ socket }: Options): Promise<void> {
  requireNetworkAdmin('the inspector reads rules and packets');
  const [{ LocalInspector }, { serveInspection }] = await Promise.all([
    import('./local-inspector.ts'),
    import('./serve.ts'),
  ]);
  const isServed = await untilStopped(signal =>
    serveInspection(
      async () => new LocalInspector({ socketPath: socket }),
      { input: process.stdin, send: answer => void process.stdout.write(inspectionLine(answer)) },
      signal,
    ),
  );
  if (!isServed) process.exitCode = EXIT.failed.status;
}
