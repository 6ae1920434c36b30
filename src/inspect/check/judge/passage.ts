/** The places of a packet in words, and what was measured as lines of evidence. Pure. */
import type { CheckSite } from '../site.ts';
import type { Place, Seen } from './place.ts';
import type { Root } from './roots.ts';
import type { WayPoint } from './way.ts';

/** `they left eth0 of docker1, and never came to eth0 of docker2` */
export function passage({ packet, last, next }: Place): string {
  const who = packet === 'reply' ? 'the answers' : 'they';
  const left = last === undefined ? `${who} were seen nowhere` : `${who} ${seenText(last)}`;
  if (next === undefined) return left;
  // Where the other host has not watched, the next point is one of the answer.
  return packet !== 'reply' && next.packet === 'reply'
    ? `${left}, and no answer ${nextText(next)}`
    : `${left}, and never ${nextText(next)}`;
}

const seenText = ({ direction, link, host }: Seen) =>
  direction === 'out' ? `left ${link} of ${host}` : `came to ${link} of ${host}`;

const POINTS = {
  port: 'the link of the container on',
  bridge: 'the bridge of',
  tunnel: 'the tunnel of',
  uplink: "the underlay's link of",
} as const;

const nextText = ({ point, direction, host, link }: WayPoint) =>
  `${direction === 'out' ? 'left' : 'came to'} ${link === undefined ? POINTS[point] : `${link} of`} ${host}`;

/** What was asked and what was seen, one line each. */
export function evidenceFor({ rung, rungs }: Root, place: Place | undefined, site: CheckSite): string[] {
  const asked = rungs.slice(0, 6).map(one => {
    const from = `from ${one.container ?? site.host}`;
    const result = `${one.answered} of ${one.sent} answered`;
    return one.ports === undefined
      ? `ping ${one.to} ${from}, ${one.bytes} bytes: ${result}`
      : `connection to ${one.to} ${from}, ports ${one.ports.join(' and ')}: ${result}`;
  });
  const path = rung.largest === undefined ? [] : [`the largest that passes has ${rung.largest} bytes`];
  if (place === undefined) return [...asked, ...path];
  return [
    ...asked,
    ...path,
    passage(place),
    ...place.verdicts.map(({ host, chain, rule, end }) => `${host}: ${chain}: ${rule} (${end})`),
    ...place.drops.map(
      ({ host, reason, link, place: at, count, programs = [] }) =>
        `${host}: the kernel dropped ${count}: ${reason}${link === undefined ? '' : ` on ${link}`}${at === undefined ? '' : ` in ${at}`}${programs.length === 0 ? '' : `, where there is ${programs.join(', ')}`}`,
    ),
    ...place.silent.map(
      ({ host, address, link, count }) =>
        `${host}: ${address} was asked for ${count} times on ${link}: no answer`,
    ),
    ...place.errors,
    ...place.translated.map(({ host, link, text }) => `${host}: ${link}: ${text}`),
    ...place.astray.map(({ host, link }) => `${host}: sent over ${link}`),
  ].slice(0, 50);
}
