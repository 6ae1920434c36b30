/** Bodies of requests: read within bounds, and checked before anything is asked of this host. */
import type { IncomingMessage } from 'node:http';
import * as v from 'valibot';
import { ConfigError, type Problem } from '../../base/errors.ts';

/** Bytes; a tunnel with 64 addresses of both families has 4,000. */
const MOST_OF_A_BODY = 64 * 1024;

/**
 * @param subject what the request is about, for the error
 * @param most bytes
 * @throws ConfigError with every problem
 */
export async function readBody<Schema extends v.GenericSchema>(
  request: IncomingMessage,
  schema: Schema,
  subject: string,
  most: number = MOST_OF_A_BODY,
): Promise<v.InferOutput<Schema>> {
  return parseBody(await bodyOf(request, subject, most), schema, subject);
}

/** @throws ConfigError */
export function parseBody<Schema extends v.GenericSchema>(
  body: string,
  schema: Schema,
  subject: string,
): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new ConfigError(subject, [{ path: 'body', message: 'is not JSON' }]);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new ConfigError(subject, result.issues.map(problemOf));
}

function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const { input } = issue;
  const isShown = typeof input === 'string' || typeof input === 'number' || typeof input === 'boolean';
  return { path: v.getDotPath(issue) ?? 'body', message: issue.message, ...(isShown && { value: input }) };
}

async function bodyOf(request: IncomingMessage, subject: string, most: number): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > most) {
      throw new ConfigError(subject, [{ path: 'body', message: `is longer than ${most} bytes` }]);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** A part of a path. @throws ConfigError */
export function decodedPart(text: string, subject: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ConfigError(subject, [
      { path: 'name', value: text, message: 'is not encoded as a part of a URL' },
    ]);
  }
}
