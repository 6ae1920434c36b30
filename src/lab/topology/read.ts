/** The text of a topology file: YAML 1.2, and so JSON too. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { ConfigError, messageOf, ParseError, type Problem } from '../../base/errors.ts';
import { isObject } from '../../base/fields.ts';
import { DEFAULT_LAB } from './lab-name.ts';
import { planTopology } from './plan.ts';
import { problemsOfShape } from './shape.ts';
import type { LabTopology, TopologyHost } from './topology.ts';

/** Characters. The largest lab needs a tenth of it. */
const MOST_CHARACTERS = 1_000_000;
/** Levels of brackets and indentation; a topology has six, and a network configuration a few more. */
const DEEPEST = 64;
const TOO_DEEP = 'is nested too deeply';
/** Shown of a text that is no YAML: what follows is often of the same cause. */
const MOST_MISTAKES = 10;

/**
 * Reads a file; `-` is standard input. Paths in it are relative to where it lies.
 *
 * @throws ParseError when it cannot be read; ConfigError with all that is wrong with its syntax or shape.
 */
export function readTopology(file: string): LabTopology {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new ParseError('a file that can be read', file, messageOf(error));
  }
  const isInput = file === '-';
  return withPathsFrom(isInput ? '.' : dirname(file), parseTopology(text, isInput ? 'standard input' : file));
}

/** @param file names it in messages. @throws ConfigError */
export function parseTopology(text: string, file = 'topology'): LabTopology {
  const value = withoutGaps(parseYaml(text, file));
  const { problems, isTopology } = problemsOfShape(value);
  if (problems.length === 0) return value as LabTopology;
  throw new ConfigError(
    file,
    isTopology ? [...problems, ...problemsOfMeaning(value as LabTopology)] : problems,
  );
}

function problemsOfMeaning(topology: LabTopology): readonly Problem[] {
  try {
    planTopology(topology, { name: topology.name ?? DEFAULT_LAB });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

function parseYaml(text: string, file: string): unknown {
  const refuse = (message: string): never => {
    throw new ConfigError(file, [{ path: 'file', message }]);
  };
  if (text.length > MOST_CHARACTERS) {
    refuse(`has ${text.length} characters; want at most ${MOST_CHARACTERS}`);
  }
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
    // A warning is about a tag that nobody knows: its value would be another one than it seems.
    const mistakes = [...document.errors, ...document.warnings];
    // The parser calls itself for every level, and says so.
    if (mistakes.some(({ message }) => message.includes('call stack'))) refuse(TOO_DEEP);
    if (mistakes.length > 0) {
      const problems = mistakes.slice(0, MOST_MISTAKES).map(({ message, pos: [at] }): Problem => {
        const { line, col } = lines.linePos(at);
        return { path: `line ${line}, column ${col}`, message };
      });
      throw new ConfigError(file, problems);
    }
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    if (depthOf(value) > DEEPEST) refuse(TOO_DEEP);
    return value;
  } catch (error) {
    if (error instanceof RangeError) return refuse(TOO_DEEP);
    // Of an alias: to nothing, or to so much that the value would be larger than any topology.
    if (error instanceof ReferenceError) return refuse(error.message);
    throw error;
  }
}

/** A host or a segment with nothing under its name is one without settings. */
function withoutGaps(value: unknown): unknown {
  if (!isObject(value)) return value;
  const filled = (given: unknown) =>
    isObject(given)
      ? Object.fromEntries(Object.entries(given).map(([name, each]) => [name, each ?? {}]))
      : given;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      key === 'hosts' || key === 'segments' ? filled(each) : each,
    ]),
  );
}

/** Levels of a value, as far as they are of interest: an alias may make a value its own member. */
function depthOf(value: unknown, above = 0): number {
  if (above > DEEPEST || typeof value !== 'object' || value === null) return above;
  return Object.values(value).reduce<number>(
    (deepest, each) => Math.max(deepest, depthOf(each, above + 1)),
    above + 1,
  );
}

function withPathsFrom(directory: string, topology: LabTopology): LabTopology {
  const hosts = Object.entries(topology.hosts).map(([name, host]): [string, TopologyHost] => {
    const { docker } = host;
    if (typeof docker !== 'object' || docker.image === undefined) return [name, host];
    return [name, { ...host, docker: { ...docker, image: resolve(directory, docker.image) } }];
  });
  return { ...topology, hosts: Object.fromEntries(hosts) };
}
