/** What `tulle trace --json` says on a host of a lab. */
import assert from 'node:assert/strict';
import type { TraceResult } from '../../src/inspect/path/trace-journey.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import type { PairHost } from './lab-pair.ts';

const PATIENCE = 60_000;

export type ToldTrace = Pick<
  TraceResult,
  'hops' | 'broken' | 'fastPath' | 'sent' | 'unasked' | 'unmeasured'
> & {
  readonly ok: boolean;
};

export async function traceOn(from: PairHost, ...words: string[]): Promise<ToldTrace> {
  const options = { anyStatus: true, timeout: PATIENCE } as const;
  const { status, stdout, stderr } = await from.host.run(TULLE, ['trace', ...words, '--json'], options);
  assert.ok(stdout.startsWith('{'), stderr);
  const told = JSON.parse(stdout) as ToldTrace;
  assert.equal(status, told.ok ? 0 : 1);
  return told;
}

export const placesOf = ({ hops }: ToldTrace, packet: 'request' | 'reply') =>
  hops
    .filter(hop => hop.packet === packet)
    .map(({ host, place }) => (host === place ? host : `${host}/${place}`));
