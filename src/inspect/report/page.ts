/**
 * A report as one page that a browser opens without a network: no script, no file beside it. What is wrong comes first, listings
 * are folded. The whole document is inside as JSON, for programs:
 *
 *     sed -n '/<script id="report"/,/<\/script>/p' FILE | sed '1d;$d' | jq .
 */
import type { AgentEvent } from '../../api/messages.ts';
import type { Status } from '../../api/status.ts';
import { printableLines } from '../../base/printable.ts';
import type { HostSummary } from '../../cli/all-hosts.ts';
import type { CheckDocument } from '../check/json.ts';
import type { ReportDocument, ReportPart } from './collect.ts';

const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
pre { font: 12px/1.4 ui-monospace, monospace; overflow-x: auto; padding: .6rem; background: #8881; border-radius: 4px; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top; }
summary { cursor: pointer; padding: .15rem 0; }
.finding { border-left: 4px solid #888; padding: .2rem .8rem; margin: .8rem 0; }
.error { border-color: #c22; } .warning { border-color: #c80; }
.muted { opacity: .65; }
`;

/** @param report whose text has no secrets any more */
export function reportPage(report: ReportDocument): string {
  const { host, made, version, missing, parts } = report;
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    `<title>Tulle report of ${escape(host)}</title><style>${STYLE}</style></head><body>`,
    `<h1>Tulle report of ${escape(host)}</h1>`,
    `<p class="muted">made ${escape(made)} by tulle ${escape(version)}; passwords, tokens and keys are removed, addresses and names are not</p>`,
    ...findings(report.check),
    ...summary(report.status),
    ...hosts(report.hosts),
    ...(missing.length === 0 ? [] : ['<h2>Not in this report</h2>', list(missing.map(escape))]),
    '<h2>Events</h2>',
    events(report.events),
    '<h2>This host</h2>',
    ...(report.status === undefined
      ? []
      : [folded('status document', 'tulle status --json', json(report.status))]),
    ...(report.check === undefined ? [] : [folded('check', 'tulle check --json', json(report.check))]),
    ...parts.map(partText),
    '<script id="report" type="application/json">',
    // Ends neither the script nor a comment in it.
    printableLines(JSON.stringify(report)).replaceAll('<', String.raw`\u003c`),
    '</script>',
    '</body></html>',
    '',
  ].join('\n');
}

function findings(check: CheckDocument | undefined): string[] {
  if (check === undefined) return [];
  const { ok, findings: found } = check;
  return [
    `<h2>What is wrong</h2>`,
    ...found.map(
      ({ code, severity, host, reason, evidence, remedy }) =>
        `<div class="finding ${severity}"><b>${escape(host)}: ${escape(reason)}</b> <code class="muted">${escape(code)}</code>` +
        `${evidence.length === 0 ? '' : `<pre>${escape(evidence.join('\n'))}</pre>`}Remedy: ${escape(remedy)}</div>`,
    ),
    ...(found.length === 0
      ? [`<p>${ok ? 'Nothing: every probe was answered.' : 'Packets are lost.'}</p>`]
      : []),
  ];
}

/** The words of the status document that a reader looks for first. */
function summary(status: Status | undefined): string[] {
  if (status === undefined) return ['<p>No agent answers on this host.</p>'];
  const { agent, lease, network, warnings, conditions } = status;
  const failing = conditions.filter(({ ok }) => !ok);
  const rows = [
    ['agent', agent.reason === undefined ? agent.state : `${agent.state}: ${agent.reason}`],
    ['lease', lease?.key ?? 'none'],
    ['backend', network.config?.backendType ?? 'none'],
    ...failing.map(({ name, reason = '' }) => [`condition ${name}`, reason]),
    ...warnings.map(({ code, title, text }) => [code, `${title}: ${text}`]),
  ];
  return ['<h2>Status</h2>', table(rows)];
}

function hosts(known: readonly HostSummary[] = []): string[] {
  if (known.length === 0) return [];
  return [
    '<h2>The hosts</h2>',
    table(
      known.map(({ host, state, subnets, worst, reason }) => [
        host,
        state,
        subnets.join(' '),
        worst?.code ?? reason?.message ?? '',
      ]),
    ),
  ];
}

function events(known: readonly AgentEvent[]): string {
  if (known.length === 0) return '<p class="muted">none</p>';
  const lines = known.map(({ time, type, text }) => `${time}  ${type.padEnd(16)}  ${text}`);
  return `<pre>${escape(lines.join('\n'))}</pre>`;
}

const partText = ({ title, source, text, isCut }: ReportPart) =>
  folded(title, source, `${text}${isCut === true ? '\n... and more' : ''}`);

const folded = (title: string, source: string, text: string) =>
  `<details><summary>${escape(title)} <code class="muted">${escape(source)}</code></summary><pre>${escape(text)}</pre></details>`;

const table = (rows: readonly (readonly string[])[]) =>
  `<table>${rows.map(row => `<tr>${row.map(cell => `<td>${escape(cell)}</td>`).join('')}</tr>`).join('')}</table>`;

const list = (items: readonly string[]) => `<ul>${items.map(item => `<li>${item}</li>`).join('')}</ul>`;

const json = (value: unknown) => JSON.stringify(value, null, 2);

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Any text as text of a page, also inside of an attribute; for a terminal, too, as the file may be looked at in one. */
const escape = (text: string) =>
  printableLines(text).replace(/[&<>"']/g, character => ENTITIES[character] ?? '');
