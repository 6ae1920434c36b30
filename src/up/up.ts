/**
 * What a host is, decided from what it has: a token makes it join; an authority in the data directory makes it the
 * host of the store, again; a certificate makes it a host that joined before. With none of them it is the first
 * host of a new network.
 */
import type { AgentOptions } from '../agent/options/options.ts';
import { runAgent } from '../agent/run-agent.ts';
import { Identity } from '../agent/state/state-directory.ts';
import { systemClock } from '../base/clock.ts';
import type { PerFamily } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { openLog } from '../console/daemon-log.ts';
import { note } from '../console/output.ts';
import { TrustError } from '../trust/errors.ts';
import {
  type HostTrust,
  isOwnStore,
  readHostKey,
  readJoined,
  saveJoined,
  trustFiles,
  whyUseless,
} from '../trust/host-trust.ts';
import { joinStore } from '../trust/join-client.ts';
import { type Renew, renewHost, rotate } from '../trust/rotation.ts';
import { StoreTrust } from '../trust/store-trust.ts';
import type { Token } from '../trust/token.ts';
import { startFirstHost } from './first-host.ts';

export interface UpOptions {
  readonly token?: Token;
  /** For a new network; one that is free on this host unless given. */
  readonly network: PerFamily<Prefix>;
  readonly port: number;
  readonly dataDir: string;
  /** Of the agent; its store is the one that the certificate is for. */
  readonly agent: AgentOptions;
}

/** Runs until `signal` aborts. @throws TrustError, ConfigError before anything was started */
export async function up(options: UpOptions, signal: AbortSignal): Promise<void> {
  const { token, dataDir, agent } = options;
  const { stateDirectory } = agent;
  const { hostId } = await Identity.open(stateDirectory);
  const renew: Renew = until => renewHost(stateDirectory, systemClock.now(), until);
  if (token !== undefined) {
    return runWith(agent, await joinOnce(stateDirectory, token, hostId, signal), renew, signal);
  }
  const joined = await readJoined(stateDirectory);
  const keepsStore = (await StoreTrust.open(dataDir, systemClock)) !== undefined;
  if (joined !== undefined && !keepsStore) {
    if (isOwnStore(joined)) {
      throw new TrustError(
        'NO_CERTIFICATE',
        `this host runs the store, but ${dataDir} has no certificate authority`,
        {
          hint: 'restore the directory from a backup, or make a new authority: `tulle store init --address IP`',
        },
      );
    }
    return runWith(agent, trustFiles(stateDirectory, joined), renew, signal);
  }
  await using first = await startFirstHost({ ...options, hostId }, signal);
  await runWith(agent, first.trust, () => first.renew(), signal);
}

/**
 * A token that this host has not used yet is what counts. One that cannot be used does not affect a host that has a good
 * certificate for the same store: it stays in the unit file that starts it, long after it has expired.
 */
async function joinOnce(
  stateDirectory: string,
  token: Token,
  hostId: string,
  signal: AbortSignal,
): Promise<HostTrust> {
  // Damaged files are no reason not to join: they are written anew.
  const known = await readJoined(stateDirectory).catch(() => undefined);
  const { fingerprint } = token;
  const useless = known && whyUseless(known, { hostId, fingerprint }, systemClock.now());
  const good = useless === undefined ? known : undefined;
  if (good?.token === token.id) return trustFiles(stateDirectory, good);
  if (useless !== undefined)
    note(`this host joins again, because its certificate cannot be used: ${useless}`);
  try {
    return await join(stateDirectory, token, hostId, signal);
  } catch (error) {
    if (good === undefined || signal.aborted || !(error instanceof TrustError)) throw error;
    note(`the token has no effect: ${error.message}; this host continues with its certificate`);
    return trustFiles(stateDirectory, good);
  }
}

async function join(
  stateDirectory: string,
  token: Token,
  hostId: string,
  signal: AbortSignal,
): Promise<HostTrust> {
  const key = await readHostKey(stateDirectory);
  const joined = await joinStore(token, { hostId, ...(key !== undefined && { key }) }, signal);
  if (joined.hostId !== hostId) {
    await Identity.become(stateDirectory, joined.hostId);
    note(`the token gives this host the id ${joined.hostId}`);
  }
  note(`joined the store at ${token.address}`);
  return saveJoined(stateDirectory, joined);
}

/**
 * The agent, with certificates that are renewed as long as it runs. The store is the one that the certificate is for,
 * whatever the flags say.
 */
async function runWith(
  agent: AgentOptions,
  { endpoint, ...files }: HostTrust,
  renew: Renew,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const rotating = rotate(renew, {
    clock: systemClock,
    log: openLog(agent.verbosity, agent.logFormat),
    signal: AbortSignal.any([signal, over.signal]),
  });
  try {
    await runAgent({ ...agent, store: { endpoints: [endpoint], ...files } }, signal);
  } finally {
    over.abort();
    await rotating;
  }
}
