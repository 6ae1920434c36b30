/**
 * A page of the guide: prose that people write, and between marks what a scenario printed, put there by a program:
 *
 *     <!-- step cable -->            heading, reason, commands, output and checks of this step
 *     <!-- output cable -->          without heading and reason, for a page that has them in another language
 *     ...
 *     <!-- end -->
 */
import type { Scenario, StepReport } from '../../src/lab/scenario/scenario.ts';
import { stepText } from '../../src/lab/scenario/scenario-text.ts';

const BLOCK = /<!-- (step|output) ([a-z\d-]+) -->\n([\s\S]*?)<!-- end -->/g;

export interface Block {
  readonly kind: 'step' | 'output';
  /** Of the step. */
  readonly id: string;
  readonly text: string;
}

export function blocksIn(page: string): Block[] {
  return [...page.matchAll(BLOCK)].map(([, kind, id = '', text = '']) => ({
    kind: kind === 'step' ? 'step' : 'output',
    id,
    text,
  }));
}

/** The page with every block written anew. @param reports by id of the step */
export function filled(page: string, reports: ReadonlyMap<string, StepReport>): string {
  return page.replaceAll(BLOCK, (_, kind: Block['kind'], id: string) => {
    return `<!-- ${kind} ${id} -->\n${blockText(kind, reports.get(id))}<!-- end -->`;
  });
}

/** What belongs between the marks, with a newline at its end. */
export function blockText(kind: Block['kind'], report: StepReport | undefined): string {
  if (report === undefined) return '';
  const shown = ['```text', outputOf(report), '```', ''].join('\n');
  return kind === 'output' ? shown : `## ${report.title}\n\n${report.why}\n\n${shown}`;
}

/** The step as the command shows it, without what a page says itself, and without its indent. */
function outputOf(report: StepReport): string {
  const lines = stepText({ ...report, title: '', why: '' }, 0).split('\n');
  const from = lines.findIndex((line, index) => index > 0 && line.trim() !== '');
  return lines
    .slice(from)
    .map(line => line.replace(/^ {3}/, ''))
    .join('\n');
}

/** Step reports under the ids of their steps. */
export function byStep({ steps }: Scenario, reports: readonly StepReport[]): Map<string, StepReport> {
  return new Map(
    steps.flatMap(({ id }, index) => {
      const report = reports[index];
      return report === undefined ? [] : [[id, report] as const];
    }),
  );
}
