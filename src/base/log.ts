/**
 * The logger that is passed to everything with a life. JSON lines on stderr at the edges (pino satisfies this
 * interface), a recording one in tests. Rules: log state changes, the first failure of a batch and the
 * recovery; never a key or a token.
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};

export interface LogRecord {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A logger that records its lines, for tests. */
export function recordingLogger(
  records: LogRecord[] = [],
  bound: object = {},
): Logger & { readonly records: LogRecord[] } {
  const at = (level: LogRecord['level']) => (fields: object, message: string) => {
    records.push({ level, fields: { ...bound, ...fields }, message });
  };
  return {
    records,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: fields => recordingLogger(records, { ...bound, ...fields }),
  };
}
