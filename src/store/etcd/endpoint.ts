/** Where a member of the store's cluster listens for clients, as people write it: `https://10.0.0.1:2379`. */
import { ConfigError, type Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';

export interface EtcdEndpoint {
  /** Canonical text, for people: `https://[fd00::1]:2379`. */
  readonly url: string;
  /** In grpc-js' notation: `dns:etcd.example:2379`, `ipv4:10.0.0.1:2379`, `unix:/run/etcd.sock`. */
  readonly target: string;
  readonly secure: boolean;
  /** The name or address that the certificate must carry; `localhost` for a unix socket. */
  readonly host: string;
}

/** etcd's client port, registered with IANA. */
const DEFAULT_PORT = 2379;

/**
 * `http://host[:port]`, `https://host[:port]` and `unix:///path`. Like etcd's own clients, takes `host[:port]`
 * for https when TLS is set up (`preferTls`), else for http. Duplicates are dropped.
 * @throws ConfigError with every problem, and when there is no endpoint at all
 */
export function parseEndpoints(texts: readonly string[], preferTls = false): readonly EtcdEndpoint[] {
  const problems: Problem[] = [];
  const endpoints = new Map<string, EtcdEndpoint>();
  if (texts.length === 0) problems.push({ path: 'endpoints', message: 'at least one is needed' });
  for (const [index, text] of texts.entries()) {
    const parsed = parseEndpoint(text.trim(), preferTls);
    if ('url' in parsed) endpoints.set(parsed.url, parsed);
    else problems.push({ path: `endpoints[${index}]`, ...parsed });
  }
  if (problems.length > 0) throw new ConfigError('etcd endpoints', problems);
  return [...endpoints.values()];
}

function parseEndpoint(text: string, preferTls: boolean): EtcdEndpoint | Omit<Problem, 'path'> {
  // A password must not come back in an error message, so that this text is not shown.
  if (text.includes('@')) {
    return {
      message: 'must not contain a user or password',
      hint: 'give user and password as options of their own',
    };
  }
  const wrong = (message: string): Omit<Problem, 'path'> => ({
    value: text,
    message,
    hint: 'want http://HOST:PORT, https://HOST:PORT or unix:///PATH',
  });
  const [, scheme = preferTls ? 'https' : 'http', rest = ''] = /^(?:([^:/]+):\/\/)?(.*)$/s.exec(text) ?? [];
  if (scheme === 'unix') {
    if (!/^\/[^\s?#]+$/.test(rest)) return wrong('must name an absolute path');
    return { url: `unix://${rest}`, target: `unix:${rest}`, secure: false, host: 'localhost' };
  }
  if (scheme !== 'http' && scheme !== 'https') return wrong(`has the unknown scheme ${scheme}`);

  const [, bracketed, plain, portText] =
    /^(?:\[([^[\]]*)\]|([^/:?#[\]\s]*))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) return wrong('is not a host with an optional port');
  const port = portText === undefined ? DEFAULT_PORT : Number(portText);
  if (port < 1 || port > 65_535) return wrong('has a port outside 1 to 65535');

  const ip = Ip.tryParse(host);
  if (
    ip === undefined
      ? bracketed !== undefined || !isName(host)
      : (ip.family === 'ipv6') !== (bracketed !== undefined)
  ) {
    return wrong(bracketed === undefined ? 'has no valid host' : 'has no valid IPv6 address in the brackets');
  }
  const authority = `${ip?.family === 'ipv6' ? `[${ip}]` : (ip ?? host)}:${port}`;
  return {
    url: `${scheme}://${authority}`,
    target: `${ip?.family ?? 'dns'}:${authority}`,
    secure: scheme === 'https',
    host: ip?.toString() ?? host,
  };
}

/** A host name by RFC 1123; what has only digits and dots is a mistyped address. */
function isName(text: string): boolean {
  return (
    text.length <= 253 &&
    !/^[\d.]*$/.test(text) &&
    text.split('.').every(label => /^[a-z\d_]([a-z\d_-]{0,61}[a-z\d_])?$/i.test(label))
  );
}
