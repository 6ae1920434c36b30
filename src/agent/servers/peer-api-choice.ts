/** Whether this agent answers other hosts: where it has a certificate, unless it is told not to. */
import { existsSync } from 'node:fs';
import { CredentialReader } from '../../api/peer/credentials.ts';
import type { PeerApiOptions } from '../options/options.ts';
import type { PeerApi, PeerApiParts } from './peer/peer-api.ts';

export type PeerApiChoice =
  | {
      /** Published in the lease. */
      readonly port: number;
      open(parts: Omit<PeerApiParts, 'options' | 'credentials'>): PeerApi;
      readonly reason?: never;
    }
  | {
      /** Why it does not. */
      readonly reason: string;
      readonly port?: never;
      readonly open?: never;
    };

export async function choosePeerApi(options: PeerApiOptions | undefined): Promise<PeerApiChoice> {
  if (options === undefined) return { reason: 'it is off (--peer-api-port=0)' };
  const { files, areGiven, port } = options;
  // Those that a host gets when it joins are there before its agent is started.
  if (!areGiven && !existsSync(files.certFile)) {
    return { reason: `this host has no certificate (${files.certFile})` };
  }
  // Loaded only where it is wanted: it costs memory on every host.
  const { PeerApi: Api } = await import('./peer/peer-api.ts');
  const credentials = new CredentialReader(files);
  return { port, open: parts => new Api({ ...parts, options, credentials }) };
}
