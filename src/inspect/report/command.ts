/** `tulle report`: one file about a host, for a bug report. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { type AgentOption, agentClient, networkOption, socketOption } from '../../cli/agent-option.ts';
import { clusterSummary } from '../../cli/all-hosts.ts';
import { formatBytes, formatDuration } from '../../console/format.ts';
import { withExamples } from '../../console/help.ts';
import { jsonOption } from '../../console/options.ts';
import { print, printJson } from '../../console/output.ts';
import { withProgress } from '../../console/progress.ts';
import { requireNetworkAdmin } from '../../console/require-root.ts';
import { untilStopped } from '../../console/signals.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { Netns } from '../../sys/netns.ts';
import { checkOnce } from '../check/command.ts';
import { checkJson } from '../check/json.ts';
import { fastPathListing } from '../fastpath/listing.ts';
import { NamespaceReader } from '../host/namespace-reader.ts';
import { collectReport } from './collect.ts';
import { reportPage } from './page.ts';

interface ReportOptions extends AgentOption {
  readonly to?: string;
  readonly check: boolean;
  readonly json?: true;
}

export function reportCommand(): Command {
  const command = new Command('report')
    .description(
      'Write one file about this host for a bug report: what a check finds, the status, the events, the other hosts in short, and ' +
        'the tables of the kernel, as a page that any browser opens without a network. It has the same as JSON inside.\n\n' +
        'Passwords, tokens and keys are removed. Addresses, MAC addresses, host names and firewall rules are not: look at the file ' +
        'before you send it.',
    )
    .option('--to <file>', 'where to write it (default: tulle-report-HOST-TIME.html in this directory)')
    .option('--no-check', 'send no probes')
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action((options: ReportOptions) => untilStopped(signal => report(options, signal)));
  return withExamples(command, [
    { line: 'report', does: 'a page in this directory' },
    { line: 'report --to /tmp/before.html', does: 'a page of another name' },
    { line: "report --json | jq '.check.findings'", does: 'the same as JSON' },
  ]);
}

async function report(options: ReportOptions, signal: AbortSignal): Promise<void> {
  requireNetworkAdmin('a report reads rules and sends probes');
  const agent = agentClient(options);
  const host = hostname();
  const began = performance.now();
  const collected = await collectReport(
    {
      host,
      status: until => agent.status(until),
      events: until => Array.fromAsync(agent.events({ signal: until })),
      programs: async () => {
        using netns = Netns.current();
        await using reader = new NamespaceReader(netns);
        return await fastPathListing(reader);
      },
      hosts: (own, until) => withProgress('asking the other hosts', clusterSummary(own, until)),
      ...(options.check && {
        check: async until => checkJson(await checkOnce(undefined, options, until), []),
      }),
    },
    signal,
  );
  if (options.json === true) {
    printJson(collected);
    return;
  }
  const stamp = collected.made.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const path = resolve(options.to ?? `tulle-report-${host}-${stamp}.html`);
  const page = reportPage(collected);
  // Rules and addresses are not for every user of the host.
  await writeFileAtomic(path, page, { mode: 0o600 });
  const size = formatBytes(Buffer.byteLength(page));
  print(`${path} (${size}, ${formatDuration(performance.now() - began)})`);
}
