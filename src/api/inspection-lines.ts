/**
 * What is asked of a host, and how it answers: lines of JSON, the same over TLS (`POST /v1/inspect`) as on standard input
 * and output of `tulle inspector`.
 *
 *     > {"look":{}}
 *     < {"report":{...}}
 *
 *     > {"observe":{"flow":{"from":"10.5.1.2","to":"10.5.2.2","protocol":"icmp","id":4711}}}
 *     < {"ready":true}
 *       the caller sends its probes, and ends its side of the stream
 *     < {"observation":{...}}
 *
 *     > {"walk":{"from":"10.5.1.2","to":"10.5.2.2","protocol":"icmp"}}
 *     < {"walk":{...}}
 *
 *     > {"echo":{"address":"10.5.2.2","from":"10.5.1.2"}}
 *     < {"echoing":{"port":40117}}
 *       datagrams of that sender to that port of the container are sent back, until the caller ends its side
 *
 * One request for each stream. The answer to one that cannot be met is `{"refusal":{...}}`.
 */
import * as v from 'valibot';
import { ParseError } from '../base/errors.ts';
import { Flow, InspectionReport, Observation } from './inspection.ts';
import { Refusal } from './messages.ts';
import { Walk, WalkReport } from './walk.ts';

/** Who answers, a container by its address, and to whom. */
export const EchoPlace = v.strictObject({
  address: v.pipe(v.string(), v.ip()),
  from: v.pipe(v.string(), v.ip()),
});
export type EchoPlace = v.InferOutput<typeof EchoPlace>;

export const InspectionRequest = v.union([
  v.strictObject({ look: v.strictObject({}) }),
  v.strictObject({ observe: v.strictObject({ flow: Flow }) }),
  v.strictObject({ walk: Walk }),
  v.strictObject({ echo: EchoPlace }),
]);
export type InspectionRequest = v.InferOutput<typeof InspectionRequest>;

export const InspectionAnswer = v.union([
  v.object({ ready: v.literal(true) }),
  v.object({ report: InspectionReport }),
  v.object({ observation: Observation }),
  v.object({ walk: WalkReport }),
  v.object({
    echoing: v.object({ port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(0xffff)) }),
  }),
  v.object({ refusal: Refusal }),
]);
export type InspectionAnswer = v.InferOutput<typeof InspectionAnswer>;

/** Bytes of the longest request. */
export const LONGEST_INSPECTION_REQUEST = 4096;
/** Bytes of the longest line of an answer: a report of a thousand containers and as many findings. */
export const LONGEST_INSPECTION_ANSWER = 8 << 20;
/** Milliseconds after which a host ends an observation by itself. */
export const LONGEST_OBSERVATION = 10_000;

/** With its end, and without what does not leave a host. */
export const inspectionLine = (answer: InspectionAnswer): string =>
  `${JSON.stringify(v.parse(InspectionAnswer, answer))}\n`;

/** @throws ParseError */
export const parseInspectionRequest = (line: string): InspectionRequest =>
  parsed(InspectionRequest, line, 'a request to an inspector', EXAMPLE);

/** @throws ParseError */
export const parseInspectionAnswer = (line: string): InspectionAnswer =>
  parsed(InspectionAnswer, line, 'an answer of an inspector', VERSIONS);

const EXAMPLE = 'want {"look":{}}, or a flow to observe';
const VERSIONS = 'the two hosts may have different versions of Tulle';

function parsed<Schema extends v.GenericSchema>(
  schema: Schema,
  line: string,
  what: string,
  hint: string,
): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new ParseError(what, line, 'it is not JSON', hint);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new ParseError(what, line, reasonOf(deepest(result.issues[0])), hint);
}

/** Of the kinds of a union, the complaint about the one that was meant: which got furthest. */
function deepest(issue: v.BaseIssue<unknown>): v.BaseIssue<unknown> {
  const depth = ({ path }: v.BaseIssue<unknown>) => path?.length ?? 0;
  return [issue, ...(issue.issues ?? []).map(deepest)].reduce((best, one) =>
    depth(one) > depth(best) ? one : best,
  );
}

function reasonOf(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return path === null ? issue.message : `${path}: ${issue.message}`;
}
