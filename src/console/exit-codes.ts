/**
 * How every command of Tulle ends. One table: the numbers are an interface that scripts rely on, so a number is
 * never given a second meaning.
 */
export const EXIT = {
  ok: { status: 0, meaning: 'Success.' },
  failed: {
    status: 1,
    meaning: 'The operation failed, or `tulle check` found that packets are lost; the message says why.',
  },
  usage: { status: 2, meaning: 'The command line, an environment variable or a configuration is wrong.' },
  differs: {
    status: 3,
    meaning:
      'The command worked and found a problem: containers of this host, or of the requested peer, cannot communicate, or packets were lost.',
  },
  noAgent: { status: 4, meaning: 'No agent answers on the API socket.' },
  noStore: { status: 5, meaning: 'The store does not answer, has no leader, or is out of space.' },
  forbidden: { status: 6, meaning: 'Not allowed: root is needed, or the store refused the credentials.' },
  missing: { status: 7, meaning: 'The requested object does not exist.' },
  internal: { status: 70, meaning: 'A defect in Tulle itself.' },
} as const satisfies Record<string, { readonly status: number; readonly meaning: string }>;

export type ExitReason = keyof typeof EXIT;

/** A command stopped by a signal ends with 128 and the signal's number, as a shell reports it. */
export const SIGNAL_BASE = 128;

/** Codes of errors whose cause a script may want to distinguish; every other error is `failed`. */
export const OUTCOME_OF_CODE: Readonly<Record<string, ExitReason>> = {
  USAGE: 'usage',
  INVALID_CONFIG: 'usage',
  INVALID_VALUE: 'usage',
  AGENT_NOT_RUNNING: 'noAgent',
  UNAVAILABLE: 'noStore',
  EXHAUSTED: 'noStore',
  UNAUTHENTICATED: 'forbidden',
  FORBIDDEN: 'forbidden',
  EPERM: 'forbidden',
  EACCES: 'forbidden',
  PERMISSION_DENIED: 'forbidden',
  NOT_FOUND: 'missing',
};
