/**
 * What the operator asked for: command line and environment, checked as a whole. Every problem is reported at
 * once, and nothing that was given is ever ignored in silence.
 */

import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { type CredentialFiles, joinedFiles } from '../../api/peer/credentials.ts';
import { ConfigError, type Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { agentPaths, DOCKER_PLUGIN_SOCKET, NETWORK_PREFIX, networkPrefix } from '../../console/defaults.ts';
import { LOG_FORMATS, type LogFormat } from '../../console/log-format.ts';
import type { FirewallPolicy, NetworkOptions, UnderlayCriteria } from '../../network/options.ts';
import { parseEndpoints } from '../../store/etcd/endpoint.ts';
import { FAST_PATH_MODES } from '../../subnet/config/config.ts';
import { OptionReader } from './option-reader.ts';
import { readResolver } from './resolver-options.ts';

export interface AgentOptions {
  readonly store: {
    /** Base URLs, at least one. */
    readonly endpoints: readonly string[];
    /** Clean, as `networkPrefix` gives it. */
    readonly prefix: string;
    readonly caFile?: string;
    readonly certFile?: string;
    readonly keyFile?: string;
    /** More certificates to watch: those of a store on this host. */
    readonly certificates?: readonly string[];
    readonly username?: string;
    readonly password?: string;
  };
  readonly underlay: UnderlayCriteria;
  readonly lease: {
    readonly subnetFile: string;
    readonly renewMarginMinutes: number;
    readonly releaseOnStop: boolean;
  };
  readonly firewall: FirewallPolicy;
  /** Whether peers are asked if they answer. */
  readonly healthMesh: boolean;
  /** Whether packets of proven flows may go past bridge, routes and firewall. */
  readonly fastPath: NetworkOptions['fastPath'];
  /** Whether, and from whom, containers get answers about names. */
  readonly resolver: NetworkOptions['resolver'];
  /** Whether commands of the network configuration are run. */
  readonly allowExtension: boolean;
  /** Absent when off. */
  readonly health?: ListenAddress;
  readonly metrics?: ListenAddress & { readonly tls?: MetricsTls };
  /** Absent when off. */
  readonly peerApi?: PeerApiOptions;
  /** Absent when off. */
  readonly dockerPlugin?: DockerPluginChoice;
  readonly stateDirectory: string;
  readonly socketPath: string;
  readonly verbosity: number;
  /** What was given and does not count, or not as it stands. */
  readonly warnings: readonly Problem[];
  readonly logFormat: LogFormat;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface DockerPluginChoice {
  /** Of its socket. */
  readonly path: string;
  /** What must be there for it: a socket that was passed, Docker on this host (or the former), or nothing. */
  readonly needs: 'passed' | 'docker' | 'nothing';
}

/** Files in PEM. Clients must present a certificate that `caFile` signed. */
export interface MetricsTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** How this host shows itself to others, and is asked by them. */
export interface PeerApiOptions {
  readonly port: number;
  /** Those of the underlay unless given. */
  readonly address?: Ip;
  readonly files: CredentialFiles;
  /** Given by the operator, and not those of a host that has joined, which may not be there. */
  readonly areGiven: boolean;
}

/** @throws ConfigError with every problem found. */
export function parseOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): AgentOptions {
  const reader = new OptionReader(args, environment);
  const health = readListen(reader, 'healthz');
  const metrics = readListen(reader, 'metrics');
  const tls = readMetricsTls(reader, metrics);
  const store = readStore(reader);
  const paths = agentPaths(store.prefix);
  const stateDirectory = reader.path('state-dir', paths.stateDirectory);
  const peerApi = readPeerApi(reader, stateDirectory);
  const dockerPlugin = readDockerPlugin(reader, store.prefix);
  const options: AgentOptions = {
    store,
    underlay: {
      interfaces: reader.strings('iface'),
      patterns: readPatterns(reader),
      ...reader.ip('canReach', 'iface-can-reach'),
      publicIp: {
        ...reader.ip('ipv4', 'public-ip', 'ipv4'),
        ...reader.ip('ipv6', 'public-ipv6', 'ipv6'),
      },
    },
    lease: {
      subnetFile: reader.path('subnet-file'),
      renewMarginMinutes: reader.integer('subnet-lease-renew-margin'),
      releaseOnStop: reader.boolean('release-lease'),
    },
    firewall: {
      masquerade: reader.boolean('ip-masq'),
      randomFully: !reader.boolean('ip-masq-fully-random-disable'),
      forward: reader.boolean('iptables-forward-rules'),
      openPort: reader.boolean('open-port'),
      checkSenders: reader.boolean('check-senders'),
      resyncSeconds: reader.integer('iptables-resync'),
    },
    healthMesh: reader.boolean('health-mesh'),
    fastPath: reader.oneOf('fast-path', FAST_PATH_MODES),
    resolver: readResolver(reader),
    allowExtension: reader.boolean('allow-extension'),
    ...(health.port === 0 ? {} : { health }),
    ...(metrics.port === 0 ? {} : { metrics: { ...metrics, ...(tls && { tls }) } }),
    ...(peerApi && { peerApi }),
    ...(dockerPlugin && { dockerPlugin }),
    stateDirectory,
    socketPath: reader.path('socket', paths.socket),
    verbosity: reader.integer('v'),
    warnings: reader.warnings,
    logFormat: reader.oneOf('log-format', LOG_FORMATS),
  };
  if (health.port !== 0 && health.port === metrics.port && health.host === metrics.host) {
    reader.problem('metrics-port', String(metrics.port), 'is taken by --healthz-port');
  }
  reader.finish();
  return options;
}

function readListen(reader: OptionReader, which: 'healthz' | 'metrics'): ListenAddress {
  const host = reader.string(`${which}-ip`);
  if (isIP(host) === 0) reader.problem(`${which}-ip`, host, 'want an IP address');
  return { host, port: reader.integer(`${which}-port`) };
}

function readPatterns(reader: OptionReader): readonly RegExp[] {
  return reader.strings('iface-regex').flatMap(text => {
    try {
      return [goRegExp(text)];
    } catch {
      reader.problem('iface-regex', text, 'is not a regular expression');
      return [];
    }
  });
}

function readStore(reader: OptionReader): AgentOptions['store'] {
  const hasClient = reader.together('etcd-certfile', 'etcd-keyfile');
  const hasUser = reader.together('etcd-username', 'etcd-password');
  const { endpoints, secure } = readEndpoints(reader, hasClient || reader.string('etcd-cafile') !== '');
  return {
    endpoints,
    prefix: networkPrefix(reader.string('etcd-prefix')),
    ...(secure && reader.optional('caFile', 'etcd-cafile')),
    ...(secure && hasClient && reader.optional('certFile', 'etcd-certfile')),
    ...(secure && hasClient && reader.optional('keyFile', 'etcd-keyfile')),
    ...(hasUser && reader.optional('username', 'etcd-username')),
    ...(hasUser && reader.optional('password', 'etcd-password')),
  };
}

/** What Go spells in another way (pkg.go.dev/regexp/syntax): flags at the start, and names of groups. */
function goRegExp(text: string): RegExp {
  const [start = '', flags] = /^\(\?([ims]+)\)/.exec(text) ?? [];
  return new RegExp(text.slice(start.length).replaceAll('(?P<', '(?<'), flags);
}

/** In the store's own spelling, so that one endpoint is not tried under two names. */
function readEndpoints(reader: OptionReader, preferTls: boolean) {
  const texts = reader
    .string('etcd-endpoints')
    .split(',')
    .filter(text => text.trim() !== '');
  try {
    const endpoints = parseEndpoints(texts, preferTls);
    const secure = endpoints.some(endpoint => endpoint.secure);
    for (const name of ['etcd-cafile', 'etcd-certfile', 'etcd-keyfile'] as const) {
      const file = reader.string(name);
      if (file !== '' && !secure) reader.warning(name, file, 'is not used, because no endpoint is https');
    }
    return { endpoints: endpoints.map(({ url }) => url), secure };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const { value, message, hint } of error.problems) {
      reader.problem('etcd-endpoints', typeof value === 'string' ? value : undefined, message, hint);
    }
    return { endpoints: [], secure: false };
  }
}

function readMetricsTls(reader: OptionReader, listen: ListenAddress): MetricsTls | undefined {
  const certFile = reader.string('metrics-certfile');
  const keyFile = reader.string('metrics-keyfile');
  const caFile = reader.string('metrics-cafile');
  const given = [certFile, keyFile, caFile].filter(text => text !== '').length;
  if (given === 3) return { certFile, keyFile, caFile };
  const hint = 'give --metrics-certfile, --metrics-keyfile and --metrics-cafile';
  if (given > 0) {
    reader.problem('metrics-certfile', undefined, 'is one of three that must be given together', hint);
  } else if (listen.port !== 0 && Ip.tryParse(listen.host)?.isLoopback === false) {
    reader.problem('metrics-ip', listen.host, 'is not loopback, so it needs certificates', hint);
  }
  return undefined;
}

function readPeerApi(reader: OptionReader, stateDirectory: string): PeerApiOptions | undefined {
  const port = reader.integer('peer-api-port');
  const certFile = reader.string('peer-api-certfile');
  const keyFile = reader.string('peer-api-keyfile');
  const caFile = reader.string('peer-api-cafile');
  const given = [certFile, keyFile, caFile].filter(text => text !== '').length;
  if (given > 0 && given < 3) {
    reader.problem(
      'peer-api-certfile',
      undefined,
      'is one of three that must be given together',
      'give --peer-api-certfile, --peer-api-keyfile and --peer-api-cafile',
    );
  }
  const text = reader.string('peer-api-ip');
  const address = Ip.tryParse(text);
  if (text !== '' && address === undefined) reader.problem('peer-api-ip', text, 'want an IP address');
  if (port === 0) return undefined;
  const areGiven = given === 3;
  const files = areGiven ? { caFile, certFile, keyFile } : joinedFiles(stateDirectory);
  return { port, ...(address && { address }), files, areGiven };
}

/** A second agent on a host has a network of its own, and Docker one plugin named tulle. */
function readDockerPlugin(reader: OptionReader, prefix: string): DockerPluginChoice | undefined {
  const text = reader.string('docker-plugin');
  if (text === 'off') return undefined;
  if (text === 'auto') {
    return { path: DOCKER_PLUGIN_SOCKET, needs: prefix === NETWORK_PREFIX ? 'docker' : 'passed' };
  }
  if (!isAbsolute(text)) reader.problem('docker-plugin', text, 'want auto, off, or an absolute path');
  return { path: text, needs: 'nothing' };
}
