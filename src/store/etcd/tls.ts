/**
 * TLS towards etcd: which authorities are trusted, and the certificate we show. The files are read anew for
 * every connection, so that renewed certificates need no restart.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { checkServerIdentity, createSecureContext, type SecureContext } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js';
import { messageOf, type Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import type { EtcdEndpoint } from './endpoint.ts';

/** PEM files. Without `caFile` the authorities of Node.js are trusted. */
export interface TlsOptions {
  readonly caFile?: string;
  /** The client's certificate and its key: both or none. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The name the server's certificate must carry, instead of the endpoint's host. */
  readonly serverName?: string;
}

/** Everything that is wrong with the options and, as of now, with their files. */
export function checkTls(tls: TlsOptions): Problem[] {
  const problems: Problem[] = [];
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    problems.push({
      path: tls.certFile === undefined ? 'tls.certFile' : 'tls.keyFile',
      message: 'certificate and key must be given together',
    });
  }
  for (const field of ['caFile', 'certFile'] as const) {
    const file = tls[field];
    if (file === undefined) continue;
    try {
      // A secure context takes anything as an authority; this one complains.
      new X509Certificate(readFileSync(file));
    } catch (error) {
      problems.push({ path: `tls.${field}`, value: file, message: messageOf(error) });
    }
  }
  if (problems.length > 0 || tls.keyFile === undefined) return problems;
  try {
    contextOf(tls);
  } catch (error) {
    problems.push({ path: 'tls.keyFile', value: tls.keyFile, message: messageOf(error) });
  }
  return problems;
}

/** What grpc-js needs for a connection to this endpoint. @throws what reading the files and OpenSSL throw */
export function transportOf(
  endpoint: EtcdEndpoint,
  tls: TlsOptions,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  if (!endpoint.secure) return { credentials: credentials.createInsecure(), options: {} };
  const name = tls.serverName ?? endpoint.host;
  // An address must not be sent as server name (RFC 6066, 3), and grpc-js would: it sends this instead.
  const sent = Ip.tryParse(name) === undefined ? name : 'etcd.invalid';
  return {
    credentials: credentials.createFromSecureContext(contextOf(tls), {
      checkServerIdentity: (_sent, certificate) => checkServerIdentity(name, certificate),
    }),
    options: { 'grpc.ssl_target_name_override': sent },
  };
}

function contextOf(tls: TlsOptions): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ...(tls.caFile === undefined ? {} : { ca: readFileSync(tls.caFile) }),
    ...(tls.certFile === undefined ? {} : { cert: readFileSync(tls.certFile) }),
    ...(tls.keyFile === undefined ? {} : { key: readFileSync(tls.keyFile) }),
  });
}
