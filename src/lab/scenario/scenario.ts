/**
 * What a scenario is: an experiment on a lab, as data. Its steps are commands that a reader could type, each with its
 * reason and with checks of what is then seen; src/lab/scenarios has one file per scenario.
 *
 * Commands run as they are printed, without a shell: words, and quotes around words with spaces (command-line.ts).
 * `$NAME` in a command or a check stands for a value that an earlier command has shown (`remember`).
 */
import type { LabHost } from '../host/host.ts';
import type { LabTopology } from '../topology/topology.ts';

export interface Scenario {
  /** `netns-veth`: what `tulle lab run` is given. */
  readonly name: string;
  readonly title: string;
  /** What a reader learns, in a sentence or two. */
  readonly lesson: string;
  /** ASCII, at most 80 columns. */
  readonly drawing: string;
  readonly topology: LabTopology;
  readonly steps: readonly ScenarioStep[];
  /** Program -> the Debian package that has it: asked for before anything is made. */
  readonly programs?: Readonly<Record<string, string>>;
}

export interface ScenarioStep {
  /** Unique in its scenario. */
  readonly id: string;
  readonly title: string;
  /** Why it is done, and why what is seen is seen. */
  readonly why: string;
  /** Host that the commands are typed on: `vm1`; a container of the topology: `vm1/c1`. */
  readonly on: string;
  readonly commands?: readonly (string | CommandSpec)[];
  /** Done by Tulle's own parts, where no command does it; `equivalent` then says what a reader could type. Returns what is seen. */
  readonly act?: (stage: Stage) => Promise<string | Found>;
  /** What would be typed without Tulle, for people to compare. It is not run. `$NAME` as in commands. */
  readonly equivalent?: readonly string[];
  readonly checks?: readonly Check[];
  /** Without it the scenario fails: a test leaves it out and sees to that. */
  readonly key?: true;
}

/** What a step has found without a command. */
export interface Found {
  readonly text: string;
  /** The same for programs; `--json` has it. */
  readonly data: unknown;
}

export interface CommandSpec {
  readonly line: string;
  /** Another place than the step's. */
  readonly on?: string;
  /** Exit statuses other than 0 belong to the experiment. */
  readonly mayFail?: true;
  /** Given on standard input, and printed as a here-document. `$NAME` as in `line`. */
  readonly input?: string;
  /** Cuts the output to what matters: the whole when absent. */
  readonly show?: (output: string) => string;
  /** Nothing of it is shown: only `remember` and the checks are of interest. */
  readonly quiet?: true;
  /** NAME -> what its output is searched for; the first group is the value. Not found: the step fails. */
  readonly remember?: Readonly<Record<string, RegExp>>;
  /** It goes on in the background, under this name, and is ready when its output matches `ready`. */
  readonly background?: string;
  readonly ready?: RegExp;
  /** Seconds that it may take. */
  readonly within?: number;
}

export interface Check {
  /** What should be seen: `vm1 has a link vxlan1`. `$NAME` as in commands. */
  readonly expected: string;
  /** Its output is judged, instead of that of the step's commands. It is printed only if the check fails. */
  readonly command?: string | CommandSpec;
  readonly judge: Judge;
  /** It is on its way: looked at again until it holds, for at most so many seconds. */
  readonly within?: number;
}

/** Says what is seen, in short, and whether that is as it should be. */
export type Judge = (output: string, stage: Stage) => CheckVerdict | Promise<CheckVerdict>;

export interface CheckVerdict {
  readonly seen: string;
  readonly passed: boolean;
}

/** The running experiment, for what data cannot say. */
export interface Stage {
  readonly lab: string;
  /** @throws LabError NOT_FOUND */
  host(name: string): LabHost;
  /** Values that commands have shown. */
  readonly known: Readonly<Record<string, string>>;
  /** Runs a line as if it were typed, and returns what it printed. */
  type(on: string, line: string): Promise<string>;
  /** Ends a command of the background, once it has printed what `until` matches, and returns what it printed. */
  finish(background: string, until?: RegExp): Promise<string>;
  readonly signal: AbortSignal;
}

/** What came of a scenario; `tulle lab run --json` prints it. */
export interface ScenarioReport {
  readonly scenario: string;
  readonly passed: boolean;
  readonly steps: readonly StepReport[];
}

export interface StepReport {
  readonly title: string;
  readonly on: string;
  readonly why: string;
  /** As they were typed, one a line. */
  readonly command: string;
  /** What would be typed without Tulle; empty when the commands are just that. */
  readonly equivalent: string;
  /** What the commands printed, one after the other. */
  readonly seen: string;
  /** The same as on a terminal: each line with what followed it. */
  readonly transcript: readonly TypedLine[];
  /** What the step has found by itself, where it is more than text. */
  readonly data?: unknown;
  readonly checks: readonly CheckReport[];
}

export interface TypedLine {
  readonly on: string;
  readonly line: string;
  /** Cut to what matters; without a newline at the end. */
  readonly output: string;
}

export interface CheckReport {
  readonly expected: string;
  readonly seen: string;
  readonly passed: boolean;
}
