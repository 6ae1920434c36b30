/** Durations as Go's flag package reads them, which etcd's and flannel's flags are: `10m`, `1h30m`, `1.5s`. */
import { ParseError } from '../base/errors.ts';

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
const WHOLE = new RegExp(`^[+-]?(?:0|(?:${PART.source})+)$`);

/** @returns milliseconds. @throws ParseError (pkg.go.dev/time#ParseDuration has the format) */
export function parseGoDuration(text: string): number {
  if (!WHOLE.test(text)) {
    throw new ParseError('a duration', text, 'want numbers with units, for example 500ms, 10s or 1h30m');
  }
  const parts = Array.from(
    text.matchAll(PART),
    ([, amount, unit = '']) => Number(amount) * (UNITS_MS[unit] ?? 0),
  );
  const ms = parts.reduce((sum, part) => sum + part, 0);
  return text.startsWith('-') ? -ms : ms;
}
