/** `--dns` and `--dns-upstream`: whether, and from whom, containers get answers about names. */
import { isIP } from 'node:net';
import type { NetworkOptions } from '../../network/options.ts';
import { RESOLVER_MODES } from '../../network/resolver/resolver-mode.ts';
import type { OptionReader } from './option-reader.ts';

const DNS_PORT = 53;
/** As many as resolv.conf can have. */
const MOST_SERVERS = 3;

export function readResolver(reader: OptionReader): NetworkOptions['resolver'] {
  const mode = reader.oneOf('dns', RESOLVER_MODES);
  const texts = reader
    .string('dns-upstream')
    .split(',')
    .map(text => text.trim())
    .filter(text => text !== '');
  if (texts.length > MOST_SERVERS) {
    reader.problem(
      'dns-upstream',
      texts.join(','),
      `names ${texts.length} servers, and ${MOST_SERVERS} are the most`,
    );
  }
  const upstream = texts.flatMap(text => {
    const server = parseServer(text);
    if (server === undefined)
      reader.problem('dns-upstream', text, 'want IP or IP:PORT', 'IPv6 with a port is [IP]:PORT');
    return server ?? [];
  });
  return { mode, ...(texts.length > 0 && { upstream }) };
}

function parseServer(text: string): { readonly address: string; readonly port: number } | undefined {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const [, ipv6, ipv4, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = ipv6 ?? ipv4 ?? '';
  const port = Number(digits);
  return isIP(address) === 0 || port < 1 || port > 65_535 ? undefined : { address, port };
}
