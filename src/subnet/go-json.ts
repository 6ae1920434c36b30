/**
 * JSON as Go's encoding/json reads it into typed members: a number with a point or an exponent fits no integer, even
 * where its value is a whole one. JavaScript has one kind of number, so those keep their spelling.
 */

// ECMAScript's "JSON.parse source text access", which Node.js 24 has and TypeScript does not declare yet.
declare global {
  interface JSON {
    parse(
      text: string,
      reviver: (name: string, value: unknown, context: { readonly source?: string }) => unknown,
    ): unknown;
    /** A value that `JSON.stringify` writes as this text. */
    rawJSON(text: string): object;
  }
}

/** Finds every number that is no plain integer; what it finds in a text besides costs time and nothing else. */
const UNUSUAL = /[:,[]\s*-?\d+[.e]/i;

/** Numbers that Go reads into no integer are objects, which `JSON.stringify` writes as they were. @throws SyntaxError */
export function parseGoJson(text: string): unknown {
  if (!UNUSUAL.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_name, value, { source = '' }) =>
    typeof value === 'number' && !/^-?\d+$/.test(source) ? JSON.rawJSON(source) : value,
  );
}
