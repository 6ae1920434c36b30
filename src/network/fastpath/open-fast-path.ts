/** The fast path of the host that an agent runs on, or why it has none. */
import process from 'node:process';
import type { FastPathObstacle } from '../../api/fast-path.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Clearance } from '../../fastpath/clearance.ts';
import { FastPath } from '../../fastpath/fast-path.ts';
import { findOwnPrograms } from '../../fastpath/found-programs.ts';
import { mechanismsOf } from '../../fastpath/mechanisms.ts';
import { fastPathObstacle } from '../../fastpath/obstacle.ts';
import { ownerNumber } from '../../fastpath/own-program.ts';
import { type FastFlow, isFast } from '../../fastpath/programs/layout.ts';
import { startClearance } from '../../fastpath/start-clearance.ts';
import { RuleWatch } from '../../firewall/judging/rule-watch.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { FastPathMode } from '../../subnet/config/config.ts';
import { isPassing } from '../../sys/errors.ts';
import type { Netns } from '../../sys/netns.ts';
import { run } from '../../sys/process.ts';
import type { FastPathPrograms } from './fast-path-programs.ts';
import type { KnownFlow } from './flow-counts.ts';
import type { FastPathChoice } from './network-fast-path.ts';
import { failed, kernelObstacle, OBSTACLES } from './obstacle.ts';

/** Tries, and milliseconds between two of them: some seconds together. */
const MOST_TRIES = 6;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 2000;

/** Flows between two looks at the generation and the time. */
const LOOK = 256;

export interface OpenFastPath extends AsyncDisposable {
  readonly choice: FastPathChoice;
}

export interface OpenFastPathOptions {
  /** `--fast-path` */
  readonly mode: FastPathMode;
  /** Prefix of the network in the store. */
  readonly prefix: string;
  readonly netns: Netns;
  /** In that namespace. */
  readonly rtnetlink: Rtnetlink;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Whatever is wrong with it, packets take the normal path. What runs goes on running when it is disposed of.
 *
 * @param opening for tests: another kernel
 */
export async function openFastPath(
  options: OpenFastPathOptions,
  opening: (options: OpenFastPathOptions) => Promise<OpenFastPath> = opened,
): Promise<OpenFastPath> {
  const { mode, clock, logger } = options;
  if (mode === 'off') {
    await detachFormer(options);
    return without(OBSTACLES.offByFlag);
  }
  const delays = backoff(FIRST_DELAY, LONGEST_DELAY);
  for (let left = MOST_TRIES; ; left--) {
    try {
      return await opening(options);
    } catch (error) {
      if (isCode(error, 'UNSUPPORTED')) return without(kernelObstacle(error.message));
      if (left > 1 && isPassing(error)) {
        // What a busy machine could not do now is no reason to go without until the agent is started again.
        await clock.sleep(delays.next().value);
        continue;
      }
      logger.warn({ error: messageOf(error) }, 'the fast path cannot be used');
      return without(failed(messageOf(error)));
    }
  }
}

/** @throws BpfError UNSUPPORTED; SysError, NetlinkError */
async function opened({ prefix, netns, clock, logger }: OpenFastPathOptions): Promise<OpenFastPath> {
  await using stack = new AsyncDisposableStack();
  const fastPath = stack.use(await FastPath.open({ netns, owner: prefix }));
  const clearance = stack.use(startClearance(fastPath.maps, netns, logger));
  const kept = stack.move();
  return {
    choice: {
      store: fastPath,
      programs: programsOf(fastPath, clearance),
      watchRules: watch => new RuleWatch({ ...watch, netns, run, clock, log: logger }),
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function programsOf(fastPath: FastPath, clearance: Clearance): FastPathPrograms {
  return {
    others: link => fastPath.others(link),
    otherIds: link => fastPath.otherIds(link),
    setTunnels: tunnels => fastPath.setTunnels(tunnels),
    bump: () => fastPath.bump(),
    flows: () => knownFlows(fastPath),
    normal: () => new Map(Array.from(fastPath.reasons(), ([reason, count]) => [reason, Number(count)])),
    get tcpObstacle() {
      return clearance.obstacle;
    },
  };
}

function* knownFlows(fastPath: FastPath): Generator<KnownFlow, void> {
  let [generation, now, seen] = [0n, 0n, 0];
  for (const flow of fastPath.flows()) {
    // Who counts many takes a while, in which flows are proven anew.
    if (seen++ % LOOK === 0) {
      ({ generation } = fastPath);
      // CLOCK_MONOTONIC, as the coarse clock of the programs.
      now = process.hrtime.bigint();
    }
    yield knownFlow(flow, generation, now);
  }
}

function knownFlow(flow: FastFlow, generation: bigint, now: bigint): KnownFlow {
  const { sent, delivered } = isFast(flow, generation, now);
  const { sentPackets, sentBytes, deliveredPackets, deliveredBytes } = flow.state;
  return {
    vni: flow.vni,
    remote: flow.remote,
    isFast: sent || delivered,
    sentPackets: Number(sentPackets),
    sentBytes: Number(sentBytes),
    receivedPackets: Number(deliveredPackets),
    receivedBytes: Number(deliveredBytes),
  };
}

/** What an agent has left that was not told to attach none. */
async function detachFormer({ prefix, netns, rtnetlink, logger }: OpenFastPathOptions): Promise<void> {
  try {
    if ((await fastPathObstacle()) !== undefined) return;
    const mechanisms = mechanismsOf(netns, rtnetlink);
    for (const { mechanism, place, program } of await findOwnPrograms(
      rtnetlink,
      mechanisms,
      ownerNumber(prefix),
    ))
      await mechanism.detach(place, program.id);
  } catch (error) {
    logger.warn({ error: messageOf(error) }, 'programs of the fast path could not be detached');
  }
}

function without(obstacle: FastPathObstacle): OpenFastPath {
  return { choice: { obstacle }, [Symbol.asyncDispose]: () => Promise.resolve() };
}
