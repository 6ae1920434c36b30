/** A check on one screen: what was asked and what answered, then what is wrong and what to do. */
import type { Finding } from '../../api/inspection.ts';
import { valuesOf } from '../../base/per-family.ts';
import { formatCount, formatDuration, formatNumber } from '../../console/format.ts';
import { paint, type Style, screenWidth } from '../../console/output.ts';
import { type Column, formatTable, wrap, wrapCommand } from '../../console/table.ts';
import { isCarried } from './fast-probe.ts';
import type { Case, PeerCase } from './judge/case.ts';
import { byReason } from './not-seen.ts';
import type { CheckResult } from './run-check.ts';
import { isOk, lossOf, type RungKind, type RungResult, rungState } from './rung.ts';

/** Peers listed one by one; of more, those that failed. */
const ENOUGH_PEERS = 20;
/** Peers whose every rung is shown. */
const FEW_PEERS = 1;

export function checkScreen({ findings, ok, known }: CheckResult): string {
  const asked = known.peers.filter(({ peer }) => known.asked.includes(peer.name));
  const blocks = [
    asked.length <= FEW_PEERS ? ladders(known, asked) : overview(known, asked),
    fastLines(known),
    ...notAsked(asked),
    ...notSeen(known),
    findings.map(findingText).join('\n\n') || undefined,
    verdict(ok, findings, known),
  ];
  return blocks.filter(block => block !== undefined && block !== '').join('\n\n');
}

/** Flows of our own: how many of their packets took the fast path, and where. */
function fastLines({ fast = [], unprobed = [] }: Case): string | undefined {
  const lines = [
    ...fast.map(({ pair: { container, target }, fast: { sent, answered }, hosts }) => {
      const carrying = hosts
        .filter(host => host.state !== 'normal' && isCarried(host))
        .map(({ host }) => host);
      const where =
        carrying.length === 0 ? 'takes the normal path' : `takes the fast path on ${carrying.join(' and ')}`;
      const lost = sent === answered ? '' : `, ${paint('red', `${sent - answered} of ${sent} lost`)}`;
      return `a flow from ${container} to ${target} ${where}${lost}`;
    }),
    ...unprobed.map(sentence => `not tried: ${sentence}`),
  ];
  return lines.length === 0 ? undefined : lines.map(line => wrap(line, 2)).join('\n');
}

/** What answers, and causes without what was measured: part of another screen. */
export function shortScreen({ findings, known }: CheckResult): string {
  const lines = known.peers
    .filter(({ peer }) => known.asked.includes(peer.name))
    .flatMap(({ rungs, unasked }) => [
      ...(
        [
          ['underlay', ['underlay']],
          ['tunnel', ['tunnel']],
          ['containers', ['bridge', 'host', 'container']],
        ] as const
      ).flatMap(([name, kinds]) => {
        const some = rungs.filter(({ kind }) => kinds.some(one => one === kind));
        return some.length === 0 ? [] : [`${name} ${summary(some)}`];
      }),
      ...(unasked === undefined ? [] : [`only looked at from this side: ${unasked}`]),
    ]);
  return [
    wrap(`  ${lines.join(', ')}`, 4),
    ...findings.map(finding => findingText({ ...finding, evidence: [] })),
    '  `tulle check` shows every step, and what was measured',
  ].join('\n');
}

/** One question at both sizes, or several that all were answered. */
interface Line {
  readonly from: string;
  readonly asked: string;
  readonly address: string;
  readonly small: string;
  readonly full: string;
}

/** Every question about one peer; those between containers, which are many, one by one only where they broke. */
function ladders(known: Case, asked: readonly PeerCase[]): string {
  const rungs = [...known.own, ...asked.flatMap(peer => peer.rungs)];
  const questions = [
    ...Map.groupBy(rungs, ({ kind, container, to }) => `${kind} ${container ?? ''} ${to}`).values(),
  ];
  const groups = Map.groupBy(questions, ([first, ...rest], at) =>
    first !== undefined && [first, ...rest].every(isOk) ? `${first.kind} ${first.to.family}` : String(at),
  );
  const lines = [...groups.values()].flatMap(group => lineOf(known, group));
  const columns: readonly Column<Line>[] = [
    { title: 'from', cell: ({ from }) => from },
    { title: 'asked', cell: ({ asked: whom }) => whom },
    { title: 'address', cell: ({ address }) => address },
    { title: 'small', cell: ({ small }) => small },
    { title: 'full size', cell: ({ full }) => full },
  ];
  return lines.length === 0 ? '' : formatTable(columns, lines);
}

function lineOf({ site }: Case, group: readonly (readonly RungResult[])[]): Line[] {
  const all = group.flat();
  const small = all.filter(({ size }) => size === 'small');
  const full = all.filter(({ size }) => size === 'full');
  const [first] = small;
  if (first === undefined) return [];
  const from = new Set(all.map(({ container }) => container ?? site.host));
  const to = new Set(all.map(({ target }) => target));
  const isTcp = first.kind === 'tcp';
  const one = (names: ReadonlySet<string>, what: string) =>
    names.size === 1 ? ([...names][0] ?? '') : formatCount(names.size, what);
  const [firstFull] = full;
  return [
    {
      from: one(from, 'container'),
      asked:
        one(to, 'container') +
        (to.size > 1 && first.peer !== undefined ? ` of ${first.peer}` : '') +
        (isTcp ? ', TCP' : ''),
      address: group.length === 1 ? String(first.to) : '',
      small: group.length === 1 ? answerText(first) : summary(small),
      full: firstFull === undefined ? '' : fullText(firstFull),
    },
  ];
}

/** A line per peer. */
function overview({ own }: Case, asked: readonly PeerCase[]): string {
  const failed = asked.filter(({ rungs }) => !rungs.every(isOk));
  const shown = asked.length <= ENOUGH_PEERS ? asked : failed.slice(0, ENOUGH_PEERS);
  const cell =
    (...kinds: readonly RungKind[]) =>
    ({ rungs }: PeerCase) =>
      summary(rungs.filter(({ kind }) => kinds.includes(kind)));
  const columns: readonly Column<PeerCase>[] = [
    { title: 'peer', cell: ({ peer }) => peer.name },
    { title: 'subnet', cell: ({ peer }) => valuesOf(peer.subnets).join(' ') },
    { title: 'underlay', cell: cell('underlay') },
    { title: 'tunnel', cell: cell('tunnel') },
    { title: 'containers', cell: cell('bridge', 'host', 'container') },
  ];
  const rest = asked.length - shown.length;
  return [
    ...(own.length === 0 ? [] : [`containers of this host: ${summary(own)}`]),
    ...(shown.length === 0 ? [] : [formatTable(columns, shown)]),
    ...(rest === 0 ? [] : [`${shown.length === 0 ? '' : 'and '}${formatCount(rest, 'peer')} without loss`]),
  ].join('\n');
}

/** `all 12 answer`, `3 of 12 lost`: of one column. */
function summary(rungs: readonly RungResult[]): string {
  if (rungs.length === 0) return '';
  const failed = rungs.filter(rung => !isOk(rung));
  const [first] = failed;
  if (first === undefined) return paint('green', timesOf(rungs));
  if (rungs.length === 1) return answerText(first);
  if (failed.every(({ size }) => size === 'full')) return paint('red', 'large ones lost');
  return paint('red', failed.length === rungs.length ? 'lost' : `${failed.length} of ${rungs.length} lost`);
}

const timesOf = (rungs: readonly RungResult[]): string =>
  timeText(Math.min(...rungs.map(({ ms }) => ms ?? Number.POSITIVE_INFINITY)));

/** A tenth of a millisecond at least: less is not worth a look. */
const timeText = (ms: number) => formatDuration(Math.max(0.1, ms));

function answerText(rung: RungResult): string {
  const { ms, refusal } = rung;
  const state = rungState(rung);
  if (state === 'lossy') return paint('red', `${lossOf(rung)} % lost`);
  if (state === 'ok') return paint('green', timeText(ms ?? 0));
  return paint('red', refusal === undefined ? 'no answer' : refusal.kind);
}

function fullText(rung: RungResult): string {
  if (isOk(rung)) return paint('green', formatNumber(rung.bytes));
  if (rung.largest !== undefined)
    return paint('red', `${formatNumber(rung.largest)} of ${formatNumber(rung.bytes)}`);
  return answerText(rung);
}

/** Peers of which only this side is known. */
function notAsked(asked: readonly PeerCase[]): string[] {
  const reasons = Map.groupBy(
    asked.flatMap(({ peer, unasked }) => (unasked === undefined ? [] : [{ name: peer.name, unasked }])),
    ({ unasked }) => unasked,
  );
  return [...reasons].map(([reason, peers]) => {
    const names = peers.slice(0, 5).map(({ name }) => name);
    const rest = peers.length - names.length;
    return wrap(
      `Only looked at from this side: ${names.join(', ')}${rest === 0 ? '' : ` and ${rest} more`} (${reason})`,
      2,
    );
  });
}

/** What no check of a host could read. */
function notSeen({ report, peers }: Case): string[] {
  const reports = [report, ...peers.flatMap(peer => peer.report ?? [])];
  const lines = reports.flatMap(({ host, blind }) =>
    byReason(blind).map(what => wrap(`  ${host}: ${what}`, 4)),
  );
  return lines.length === 0 ? [] : [['Not seen:', ...lines].join('\n')];
}

const STYLES: Readonly<Record<Finding['severity'], Style>> = { error: 'red', warning: 'yellow', info: 'dim' };

function findingText({ code, severity, host, reason, evidence, remedy, fixable }: Finding): string {
  const fix = fixable ? `  # or \`tulle check --fix\` on ${host}` : '';
  return [
    wrap(`${paint(STYLES[severity], severity)} ${paint('bold', code)} on ${host}: ${reason}`, 2),
    ...evidence.map(line => wrap(`    ${line}`, 6)),
    remedyText(remedy + fix),
  ].join('\n');
}

/** A command that is too long for a line goes on behind a backslash, so that a shell takes what is copied. */
export function remedyText(remedy: string, width = screenWidth()): string {
  const [what = '', ...notes] = remedy.split('  # ');
  const line = `  ${paint('bold', 'remedy')}: ${what}`;
  return [
    isCommand(what) ? wrapCommand(line, 4, width) : wrap(line, 4, width),
    ...notes.map(text => wrap(`    # ${text}`, 6, width)),
  ].join('\n');
}

/** Commands one after the other, and no sentence around them. */
const isCommand = (text: string): boolean => text.split('; ').every(part => COMMAND.test(part));
const COMMAND =
  /^(?:ip|bridge|tc|nft|sysctl|nsenter|docker|kill|systemctl|\w*tables(?:-\w+)?) (?:[^,;]|,(?! ))*$/;

function verdict(ok: boolean, findings: readonly Finding[], { asked, peers, site }: Case): string {
  const of = asked.length === 0 ? site.host : formatCount(asked.length, 'peer');
  if (findings.length === 0) return `${paint('green', 'Nothing is wrong')}: ${of} checked.`;
  const count = (severity: Finding['severity']) => findings.filter(one => one.severity === severity).length;
  const parts = [
    ...(count('error') === 0 ? [] : [formatCount(count('error'), 'error')]),
    ...(count('warning') === 0 ? [] : [formatCount(count('warning'), 'warning')]),
    ...(count('info') === 0 ? [] : [formatCount(count('info'), 'remark')]),
  ].join(', ');
  if (!ok) return `${paint('red', 'Packets are lost')}: ${parts}.`;
  // Containers of a host that says nothing were not asked.
  const isPartial = peers.some(({ peer, unasked }) => unasked !== undefined && asked.includes(peer.name));
  return `No packets are lost${isPartial ? ', as far as this side shows' : ''}: ${parts}.`;
}
