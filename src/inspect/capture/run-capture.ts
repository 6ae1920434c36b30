/** A capture: frames from the kernel, decoded, shown and kept, until it is told to end. */
import { setImmediate } from 'node:timers/promises';
import { untilAborted } from '../../base/abort.ts';
import { outputWritten } from '../../console/output.ts';
import { type CapturedFrame, CaptureSocket } from '../../sys/capture-socket.ts';
import type { Netns } from '../../sys/netns.ts';
import { type DecodeOptions, decodeFrame } from '../decode/decode-frame.ts';
import type { CaptureFile } from '../pcapng/capture-file.ts';
import type { CaptureLink } from './capture-links.ts';
import type { LayerTest } from './filter.ts';
import { directionOf, frameText, type SeenFrame } from './frame-text.ts';
import type { HostNameOf } from './short-form.ts';

export interface CaptureWants {
  readonly links: readonly CaptureLink[];
  readonly ports: Pick<DecodeOptions, 'vxlanPorts'>;
  readonly isWanted?: LayerTest;
  /** Ends after so many frames that are wanted. */
  readonly count?: number;
  readonly file?: CaptureFile;
  /** Prints one frame. */
  readonly show?: (seen: SeenFrame) => void;
  /** For the comments in the file. */
  readonly nameOf: HostNameOf;
}

export interface CaptureResult {
  /** Frames that the kernel gave us, and those of them that were wanted. */
  readonly seen: number;
  readonly wanted: number;
  /** By the kernel, because we were too slow. */
  readonly dropped: number;
}

export function openCapture(
  netns: Netns,
  { links, promiscuous }: { readonly links: readonly CaptureLink[]; readonly promiscuous: boolean },
): CaptureSocket {
  return CaptureSocket.open(netns, { links: links.map(({ index }) => index), promiscuous });
}

/** Resolves when `signal` aborts, or after `count` frames. @throws SysError; CommandError when the file is full. */
export async function runCapture(
  socket: CaptureSocket,
  wants: CaptureWants,
  signal: AbortSignal,
): Promise<CaptureResult> {
  const { links, ports, isWanted, count = Number.POSITIVE_INFINITY, file, show, nameOf } = wants;
  const linkOf = new Map(links.map((link, number) => [link.index, { link, number }]));
  let seen = 0;
  let wanted = 0;

  const take = (frame: CapturedFrame) => {
    const known = linkOf.get(frame.link);
    if (known === undefined || wanted >= count) return;
    seen++;
    const layers = decodeFrame(frame.bytes, { linkType: known.link.linkType, ...ports });
    if (isWanted?.(layers) === false) return;
    wanted++;
    const one = { frame, link: known.link, layers };
    show?.(one);
    file?.add(packetOf(one, known.number, nameOf));
  };

  while (!signal.aborted && wanted < count) {
    const frames = socket.receive();
    for (const frame of frames) take(frame);
    file?.flush();
    if (wanted >= count) break;
    await unlessAborted(signal, async () => {
      if (frames.length === 0) await socket.readable(signal);
      // A reader that is slower than the network: the kernel drops and counts, and our memory does not grow.
      else if (process.stdout.writableNeedDrain) await untilAborted(outputWritten(), signal);
      // Signals are seen between turns of the event loop only.
      else await setImmediate();
    });
  }
  return { seen, wanted, dropped: socket.dropped };
}

/** Waits; that the signal aborts meanwhile is no failure. */
async function unlessAborted(signal: AbortSignal, wait: () => Promise<void>): Promise<void> {
  try {
    await wait();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

const RECEPTIONS = {
  host: 'unicast',
  multicast: 'multicast',
  broadcast: 'broadcast',
  otherhost: 'promiscuous',
  outgoing: undefined,
} as const;

/** As it goes to a file. @param number of its interface there */
export function packetOf(seen: SeenFrame, number: number, nameOf: HostNameOf) {
  const { frame } = seen;
  const reception = RECEPTIONS[frame.type];
  return {
    interface: number,
    time: frame.time,
    bytes: frame.bytes,
    length: frame.length,
    direction: directionOf(frame),
    ...(reception === undefined ? {} : { reception }),
    comment: frameText(seen, nameOf),
  };
}
