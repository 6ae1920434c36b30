/**
 * What a host is, decided from what it has: a token makes it join; an authority in the data directory makes it the
 * host of the store, again; a certificate makes it a host that joined before. With none of them it is the first
 * host of a new network.
 */
import process from 'node:process';
import { type AgentOptions, parseOptions } from '../agent/options.ts';
import { runAgent } from '../agent/run-agent.ts';
import { Identity } from '../agent/state-directory.ts';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { note, warn } from '../cli/output.ts';
import { type HostTrust, isDueForRenewal, readJoined, saveJoined, trustFiles } from '../trust/host-trust.ts';
import { type Joined, joinStore, renewCertificate } from '../trust/join-client.ts';
import { StoreTrust } from '../trust/store-trust.ts';
import type { Token } from '../trust/token.ts';
import { startFirstHost } from './first-host.ts';

export interface UpOptions {
  readonly token?: Token;
  /** For a new network. */
  readonly network: string;
  readonly port: number;
  readonly dataDir: string;
  /** Flags for the agent. */
  readonly flags: readonly string[];
}

/** Runs until `signal` aborts. @throws TrustError, ConfigError, CommandError before anything was started */
export async function up(options: UpOptions, signal: AbortSignal): Promise<void> {
  const { token, dataDir, flags } = options;
  // Checked before anything is made.
  const agent = parseOptions(flags, process.env);
  const { hostId } = await Identity.open(agent.stateDirectory);
  if (token !== undefined) {
    return runWith(agent, await joinOnce(agent.stateDirectory, token, hostId, signal), signal);
  }
  const joined = await readJoined(agent.stateDirectory);
  const keepsStore = (await StoreTrust.open(dataDir, systemClock)) !== undefined;
  if (joined !== undefined && !keepsStore) {
    return runWith(agent, await renewed(agent.stateDirectory, joined, hostId, signal), signal);
  }
  await using first = await startFirstHost({ ...options, agent, hostId }, signal);
  await runWith(agent, first.trust, signal);
}

/** A host that has joined this very store before keeps its certificate: its token may have expired since. */
async function joinOnce(
  stateDirectory: string,
  token: Token,
  hostId: string,
  signal: AbortSignal,
): Promise<HostTrust> {
  // Damaged files are no reason not to join: they are written anew.
  const known = await readJoined(stateDirectory).catch(() => undefined);
  if (known !== undefined && new URL(known.endpoint).host === token.address) {
    return renewed(stateDirectory, known, hostId, signal);
  }
  const trust = await saveJoined(stateDirectory, await joinStore(token, hostId, signal));
  note(`joined the store at ${token.address}`);
  return trust;
}

/** With a fresh certificate when half of the old one's life is over; one that cannot be had yet is asked for next time. */
async function renewed(
  stateDirectory: string,
  joined: Joined,
  hostId: string,
  signal: AbortSignal,
): Promise<HostTrust> {
  if (!isDueForRenewal(joined, systemClock.now())) return trustFiles(stateDirectory, joined);
  try {
    return await saveJoined(stateDirectory, await renewCertificate(joined, hostId, signal));
  } catch (error) {
    signal.throwIfAborted();
    warn(`the certificate of this host could not be renewed: ${messageOf(error)}`);
    return trustFiles(stateDirectory, joined);
  }
}

/** The store is the one that the certificate is for, whatever the flags say. */
function runWith(agent: AgentOptions, trust: HostTrust, signal: AbortSignal): Promise<void> {
  const { endpoint, prefix, caFile, certFile, keyFile } = trust;
  return runAgent({ ...agent, store: { endpoints: [endpoint], prefix, caFile, certFile, keyFile } }, signal);
}
