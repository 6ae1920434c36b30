/**
 * Takes secrets out of text that goes to other people. What is a secret is known by its shape or by the name in front of it;
 * what is doubtful counts as one. Addresses, MACs and host names stay: a report without them explains nothing.
 */

/** What stands in the place of a secret. */
export const REMOVED = '[removed]';

/** Names after which a value is secret, in a flag, a variable, JSON or a file. */
const WORD = String.raw`passw(?:or)?d|passphrase|psk|token|credential|auth|(?:api|private|access|shared|encryption)[_-]?key`;
/** Of a bounded length: each word of a long text may be the beginning of one. */
const NAME = String.raw`[\w.-]{0,80}(?:(?:${WORD})s?|secret[\w.-]{0,80})`;
/** In quotes, or up to a space. */
const QUOTED = String.raw`"[^"\n]*"|'[^'\n]*'`;

const SECRET_NAME = new RegExp(`^${NAME}$`, 'i');

const RULES: readonly { readonly of: RegExp; readonly becomes: string }[] = [
  // PEM, a key of whatever kind (RFC 7468).
  {
    of: /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g,
    becomes: REMOVED,
  },
  // A token of `tulle store token`.
  { of: /\btulle1\.[\w-]+/g, becomes: REMOVED },
  // scheme://user:password@host
  { of: /(\b[a-z][a-z0-9+.-]{0,40}:\/\/)[^\s/"']+@/gi, becomes: `$1${REMOVED}@` },
  // A JSON Web Token (RFC 7519).
  { of: /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, becomes: REMOVED },
  // Authorization: Token ...
  { of: /(\bauthorization["']?[ \t]*[:=][ \t]*["']?\w+[ \t]+)[^\s"']+/gi, becomes: `$1${REMOVED}` },
  // Authorization: Bearer ...
  { of: /\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}/gi, becomes: `$1 ${REMOVED}` },
  // "password": "...", "--password", "..."; of a list or an object all of it
  {
    of: new RegExp(
      String.raw`("(?:${NAME}"\s*:|--?${NAME}"\s*,)\s*)(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{[^{}]*\})`,
      'gi',
    ),
    becomes: `$1"${REMOVED}"`,
  },
  // --etcd-password=..., --etcd-password '...'
  {
    of: new RegExp(String.raw`(--?${NAME}[ \t]*[ \t=][ \t]*)(?:${QUOTED}|(?!-)[^\s"']+)`, 'gi'),
    becomes: `$1${REMOVED}`,
  },
  // ETCD_PASSWORD=..., password: ...
  {
    of: new RegExp(String.raw`(\b${NAME}[ \t]*[=:][ \t]*)(?:${QUOTED}|[^\s"',;]+)`, 'gi'),
    becomes: `$1${REMOVED}`,
  },
  // ETCDCTL_USER=name:password
  { of: /(\b[\w.-]{0,80}user(?:name)?[ \t]*[ \t=][ \t]*[\w.-]{1,80}:)[^\s"',]+/gi, becomes: `$1${REMOVED}` },
];

/** The text without its secrets. */
export function redact(text: string): string {
  return RULES.reduce((known, { of, becomes }) => known.replace(of, becomes), text);
}

/** The same for every text inside of a JSON value; one under a secret's name is removed whole. */
export function redactValue<T>(value: T): T {
  return redacted(value) as T;
}

function redacted(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) {
    const list: readonly unknown[] = value;
    return list.map((item, at) => (isSecretFlag(list[at - 1]) ? REMOVED : redacted(item)));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      SECRET_NAME.test(name) ? withoutTexts(inner) : redacted(inner),
    ]),
  );
}

/** A flag whose value is the next argument. */
const isSecretFlag = (before: unknown): boolean =>
  typeof before === 'string' && before.startsWith('-') && SECRET_NAME.test(before.replace(/^--?/, ''));

function withoutTexts(value: unknown): unknown {
  if (typeof value === 'string') return REMOVED;
  if (Array.isArray(value)) return value.map(withoutTexts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutTexts(inner)]));
}
