/**
 * Which frames are wanted, in words:
 *
 *     expression = all { "or" all }        all  = one { "and" one }
 *     one        = "not" one | "(" expression ")" | [ "inner" | "outer" ] test
 *     test       = "host" WHO | "from" WHO | "to" WHO | "port" N | "vni" N | "mac" MAC
 *                | "ethernet" | "vlan" | "arp" | "ip" | "ipv4" | "ipv6" | "icmp" | "icmpv6" | "tcp" | "udp" | "vxlan" | "flannel-udp"
 *     WHO        = an address, a prefix, or the name of a host
 *
 * A test is about all layers of a frame unless `inner` or `outer` says which: those inside the tunnel, or those around
 * it. A frame in no tunnel has outer layers alone.
 */
import { ParseError } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import { innerStart, type Layer, type LayerName } from '../decode/layers.ts';

export type LayerTest = (layers: readonly Layer[]) => boolean;

/** The addresses of a host; undefined when there is none of this name. */
export type AddressesOf = (name: string) => readonly Prefix[] | undefined;

const GRAMMAR = 'want for example: vni 88 and inner host 10.5.1.2, or: icmp and not from 10.5.0.0/16';

/** Nobody writes more, and what is nested deeper would overflow the stack. */
const MOST_WORDS = 200;

/** @throws ParseError */
export function parseFilter(text: string, addressesOf: AddressesOf): LayerTest {
  const words = text.match(/[()]|[^\s()]+/g) ?? [];
  const fail = (reason: string) => new ParseError('a filter', text, reason, GRAMMAR);
  if (words.length === 0) throw fail('it is empty');
  if (words.length > MOST_WORDS) throw fail(`it has more than ${MOST_WORDS} words`);
  let at = 0;

  const takes = (word: string) => {
    if (words[at] !== word) return false;
    at++;
    return true;
  };
  const take = (what: string) => {
    const word = words[at++];
    if (word === undefined) throw fail(`${what} is missing at its end`);
    return word;
  };

  function anyOf(): LayerTest {
    const tests = [allOf()];
    while (takes('or')) tests.push(allOf());
    return layers => tests.some(test => test(layers));
  }

  function allOf(): LayerTest {
    const tests = [one()];
    while (takes('and')) tests.push(one());
    return layers => tests.every(test => test(layers));
  }

  function one(): LayerTest {
    if (takes('not')) {
      const test = one();
      return layers => !test(layers);
    }
    if (takes('(')) {
      const test = anyOf();
      if (!takes(')')) throw fail(`a ) is missing ${place()}`);
      return test;
    }
    if (takes('inner')) {
      const test = primitive();
      return layers => {
        const start = innerStart(layers);
        return start !== undefined && test(layers.slice(start));
      };
    }
    if (takes('outer')) {
      const test = primitive();
      return layers => test(layers.slice(0, innerStart(layers)));
    }
    return primitive();
  }

  function primitive(): LayerTest {
    const word = take('a test');
    switch (word) {
      case 'host':
      case 'from':
      case 'to': {
        const prefixes = who(take('an address'));
        const isOne = (ip: Ip) => prefixes.some(prefix => prefix.contains(ip));
        return layers => layers.some(layer => endsOf(layer, word).some(isOne));
      }
      case 'port': {
        const port = number(take('a port'), 1, 65_535, 'a port');
        return layers => layers.some(layer => hasPort(layer, port));
      }
      case 'vni': {
        const vni = number(take('a VNI'), 0, 0xff_ffff, 'a VNI');
        return layers => layers.some(layer => layer.layer === 'vxlan' && layer.vni === vni);
      }
      case 'mac': {
        const mac = Mac.parse(take('a MAC address'));
        return layers => layers.some(layer => hasMac(layer, mac));
      }
    }
    const names = LAYERS_OF_WORD.get(word);
    if (names === undefined) throw fail(`${JSON.stringify(word)} is no test`);
    return layers => layers.some(({ layer }) => names.includes(layer));
  }

  function who(word: string): readonly Prefix[] {
    const ip = Ip.tryParse(word);
    if (ip !== undefined) return [Prefix.ofOne(ip)];
    if (word.includes('/')) return [Prefix.parse(word)];
    const known = addressesOf(word);
    if (known !== undefined) return known;
    throw fail(`${JSON.stringify(word)} is no address, and no host that the agent knows`);
  }

  function number(word: string, least: number, most: number, what: string): number {
    const value = /^\d{1,8}$/.test(word) ? Number(word) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw fail(`${what} is a number from ${least} to ${most}, not ${JSON.stringify(word)}`);
  }

  const place = () => (at < words.length ? `before ${JSON.stringify(words[at])}` : 'at its end');

  const test = anyOf();
  if (at < words.length) throw fail(`want "and" or "or" ${place()}`);
  return test;
}

const LAYERS_OF_WORD: ReadonlyMap<string, readonly LayerName[]> = new Map<string, readonly LayerName[]>([
  ...(
    ['ethernet', 'vlan', 'arp', 'ipv4', 'ipv6', 'tcp', 'udp', 'vxlan', 'flannel-udp', 'icmpv6'] as const
  ).map(name => [name, [name]] as const),
  ['ip', ['ipv4', 'ipv6']],
  ['icmp', ['icmp', 'icmpv6']],
]);

/** Addresses of a layer: where it comes from, where it goes to, or both. */
function endsOf(layer: Layer, which: 'host' | 'from' | 'to'): Ip[] {
  if (layer.layer === 'ipv4' || layer.layer === 'ipv6') return pick(which, layer.source, layer.destination);
  return layer.layer === 'arp' ? pick(which, layer.sender, layer.target) : [];
}

function pick<T>(which: 'host' | 'from' | 'to', from: T, to: T): T[] {
  return [...(which === 'to' ? [] : [from]), ...(which === 'from' ? [] : [to])];
}

const hasPort = (layer: Layer, port: number) =>
  (layer.layer === 'tcp' || layer.layer === 'udp') &&
  (layer.sourcePort === port || layer.destinationPort === port);

const hasMac = (layer: Layer, mac: Mac) =>
  layer.layer === 'ethernet' && (layer.source.equals(mac) || layer.destination.equals(mac));
