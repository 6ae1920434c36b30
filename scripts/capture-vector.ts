/**
 * Captures what a real `ip`, `bridge`, `nft` or `conntrack` exchanges with the kernel, as a vector for our codec tests.
 *
 *     scripts/capture-vector NAME [--setup COMMAND]... [--reply] -- COMMAND...
 *     scripts/capture-vector NAME [--setup COMMAND]... --meanwhile COMMAND... -- nft monitor trace
 *     scripts/capture-vector NAME...      captures vectors again that exist already
 *
 * Needs root and strace. Runs in a network namespace of its own, which is gone afterwards. Kept is the last request
 * of the command; with --reply its list, or else its first question, and the objects that the kernel answered with.
 * A request is kept also when the kernel
 * refuses it: it may have been built without that kind of link. With --meanwhile the command listens until those have
 * run, and kept is what the kernel announced.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseHex } from '../src/base/bytes.ts';
import { NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR } from '../src/netlink/constants.ts';
import { formatPayload } from '../src/netlink/debug.ts';
import { HEADER_SIZE, type Message, readMessages } from '../src/netlink/message.ts';
import type { NetlinkProtocol } from '../src/netlink/protocol.ts';
import { formatVector, parseVector, protocolOf, type Vector } from '../test/support/netlink-vector.ts';

const DIRECTORY = join(import.meta.dirname, '../test/vectors/netlink');

const { values, positionals, tokens } = parseArgs({
  allowPositionals: true,
  tokens: true,
  options: {
    setup: { type: 'string', multiple: true, default: [] },
    meanwhile: { type: 'string', multiple: true, default: [] },
    reply: { type: 'boolean', default: false },
  },
});
const end = tokens.find(token => token.kind === 'option-terminator');
const names = positionals.slice(0, end === undefined ? undefined : 1);
if (names.length === 0) throw new Error('which vector?');

for (const name of names) {
  const file = join(DIRECTORY, `${name}.txt`);
  const plan =
    end === undefined
      ? parseVector(readFileSync(file, 'utf8'))
      : {
          setup: values.setup,
          meanwhile: values.meanwhile,
          command: process.argv
            .slice(2)
            .slice(end.index + 1)
            .join(' '),
        };
  const wantsReplies =
    'messages' in plan ? plan.messages.some(({ direction }) => direction === 'reply') : values.reply;
  writeFileSync(file, formatVector(capture(plan, wantsReplies)));
}

interface Exchanged {
  readonly sent: boolean;
  readonly message: Message;
}

type CapturePlan = Pick<Vector, 'setup' | 'command' | 'meanwhile'>;

function capture({ setup, command, meanwhile }: CapturePlan, wantsReplies: boolean): Vector {
  const directory = mkdtempSync(join(tmpdir(), 'capture-vector-'));
  try {
    const trace = join(directory, 'trace');
    const strace = `strace -e trace=sendmsg,sendto,recvmsg -e write=all -e read=all -s 0 -o ${trace}`;
    // The commands are the caller's own, typed as a shell would read them.
    const captured = `${strace} ${command} >/dev/null`;
    const script = [
      ...setup,
      ...(meanwhile.length === 0 ? [`${captured} || true`] : whileListening(captured, meanwhile)),
    ].join('\n');
    execFileSync('unshare', ['--net', 'sh', '-ec', script], { stdio: ['ignore', 'inherit', 'inherit'] });
    const exchanged = readTrace(readFileSync(trace, 'utf8'));
    const request = wantsReplies ? questionIn(exchanged) : exchanged.findLastIndex(({ sent }) => sent);
    const next = exchanged.findIndex(({ sent }, index) => sent && index > request);
    const replies = exchanged.slice(request + 1, next < 0 ? undefined : next);
    const kept =
      meanwhile.length > 0
        ? exchanged.filter(one => isAnnouncement(one, protocolOf({ command })))
        : [...exchanged.slice(request, request + 1), ...replies.filter(one => wantsReplies && isObject(one))];
    return {
      setup,
      command,
      meanwhile,
      kernel: release().split('-')[0] ?? '',
      iproute2: /iproute2-([\d.]+)/.exec(execFileSync('ip', ['-V'], { encoding: 'utf8' }))?.[1] ?? '',
      messages: kept.map(({ sent, message }) => ({
        direction: sent ? 'request' : 'reply',
        message,
        decoded: formatPayload(protocolOf({ command }), message),
      })),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Lines of a script: commands are run once the first one has joined a multicast group of netfilter. */
function whileListening(listener: string, commands: readonly string[]): string[] {
  return [
    `${listener} & listener=$!`,
    `until awk '$2 == 12 && $4 != "00000000" { found = 1 } END { exit !found }' /proc/net/netlink; do sleep 0.05; done`,
    ...commands.map(command => `${command} >/dev/null || true`),
    // What is announced is read at once; strace writes it down a moment later.
    'sleep 0.5; kill $(cat /proc/$listener/task/$listener/children); wait',
  ];
}

/** Of a kind that our codec knows: `nft` has questions of its own meanwhile. */
function isAnnouncement({ sent, message }: Exchanged, protocol: NetlinkProtocol): boolean {
  return !sent && message.sequence === 0 && protocol.messageName(message.type) !== undefined;
}

/** The last list that was asked for; where there is none, the first question that was answered with an object. */
function questionIn(exchanged: readonly Exchanged[]): number {
  const isList = ({ sent, message }: Exchanged) => sent && (message.flags & NLM_F_DUMP) === NLM_F_DUMP;
  const list = exchanged.findLastIndex(isList);
  const answer = exchanged.findIndex(isObject);
  return list >= 0 ? list : answer - 1;
}

function isObject({ sent, message: { type } }: Exchanged): boolean {
  return !sent && type !== NLMSG_DONE && type !== NLMSG_ERROR;
}

/** The messages in strace's hex dumps, in order. */
function readTrace(text: string): Exchanged[] {
  return text
    .split(/^(?=\S*\s*(?:sendmsg|sendto|recvmsg)\()/m)
    .filter(call => call.includes('\n | '))
    .flatMap(call => {
      const sent = /^\S*\s*send/.test(call);
      const hex = Array.from(
        call.matchAll(/^ \| [0-9a-f]+ {2}((?:[0-9a-f]{2} {1,2})+)/gm),
        ([, digits = '']) => digits,
      );
      const bytes = parseHex(hex.join(''));
      // Behind what it means to send, `ip` leaves the rest of its buffer.
      const length = new DataView(bytes.buffer).getUint32(0, true);
      const datagram = sent ? bytes.subarray(0, Math.max(length, HEADER_SIZE)) : bytes;
      return readMessages(datagram).map(message => ({ sent, message }));
    });
}
