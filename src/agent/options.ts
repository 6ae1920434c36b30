/**
 * What the operator asked for: command line and environment, checked as a whole. Every problem is reported at
 * once, and nothing that was given is ever ignored in silence.
 */
import { isIP } from 'node:net';
import { ConfigError, type Problem } from '../base/errors.ts';
import { type Family, Ip } from '../base/ip.ts';
import { parseEndpoints } from '../store/etcd/endpoint.ts';
import { FLAGS, type Flag, type FlagName, REFUSED_FLAGS } from './flags.ts';
import { parseGoBoolean, parseGoFlags, parseGoInteger } from './go-flags.ts';

export interface AgentOptions {
  readonly store: {
    /** Base URLs, at least one. */
    readonly endpoints: readonly string[];
    /** Absolute and clean: begins with `/`, does not end with one. */
    readonly prefix: string;
    readonly caFile?: string;
    readonly certFile?: string;
    readonly keyFile?: string;
    readonly username?: string;
    readonly password?: string;
  };
  readonly underlay: UnderlayCriteria;
  readonly lease: {
    readonly subnetFile: string;
    readonly renewMarginMinutes: number;
    readonly releaseOnStop: boolean;
  };
  readonly firewall: {
    readonly masquerade: boolean;
    readonly randomFully: boolean;
    readonly forward: boolean;
    readonly resyncSeconds: number;
  };
  /** Absent when off. */
  readonly health?: ListenAddress;
  readonly metrics?: ListenAddress & { readonly tls?: MetricsTls };
  readonly stateDirectory: string;
  readonly socketPath: string;
  readonly verbosity: number;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Files in PEM. Clients must present a certificate that `caFile` signed. */
export interface MetricsTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** How the underlay interface is chosen: all of `interfaces`, then `patterns`, then `canReach`. */
export interface UnderlayCriteria {
  readonly interfaces: readonly string[];
  readonly patterns: readonly RegExp[];
  readonly canReach?: Ip;
  readonly publicIpv4?: Ip;
  readonly publicIpv6?: Ip;
}

/** @throws ConfigError with every problem found. */
export function parseOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): AgentOptions {
  const reader = new OptionReader(args, environment);
  const health = { host: reader.listenIp('healthz-ip'), port: reader.integer('healthz-port') };
  const metrics = { host: reader.listenIp('metrics-ip'), port: reader.integer('metrics-port') };
  const tls = reader.metricsTls(metrics);
  const options: AgentOptions = {
    store: {
      endpoints: reader.endpoints(),
      prefix: reader.prefix(),
      ...reader.optional('caFile', 'etcd-cafile'),
      ...reader.optional('certFile', 'etcd-certfile'),
      ...reader.optional('keyFile', 'etcd-keyfile'),
      ...reader.optional('username', 'etcd-username'),
      ...reader.optional('password', 'etcd-password'),
    },
    underlay: {
      interfaces: reader.strings('iface'),
      patterns: reader.patterns(),
      ...reader.ip('canReach', 'iface-can-reach'),
      ...reader.ip('publicIpv4', 'public-ip', 'ipv4'),
      ...reader.ip('publicIpv6', 'public-ipv6', 'ipv6'),
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
      resyncSeconds: reader.integer('iptables-resync'),
    },
    ...(health.port === 0 ? {} : { health }),
    ...(metrics.port === 0 ? {} : { metrics: { ...metrics, ...(tls && { tls }) } }),
    stateDirectory: reader.path('state-dir'),
    socketPath: reader.path('socket'),
    verbosity: reader.integer('v'),
  };
  reader.apart(health, metrics);
  reader.together('etcd-certfile', 'etcd-keyfile');
  reader.together('etcd-username', 'etcd-password');
  reader.finish();
  return options;
}

/** Where the text of one option came from. */
interface Given {
  /** For reports: `--iface` or `$FLANNELD_IFACE`. */
  readonly path: string;
  readonly texts: readonly string[];
}

const FLAG_BY_NAME: ReadonlyMap<FlagName, Flag> = new Map(FLAGS.map(flag => [flag.name, flag]));

/** Looks options up in the order of precedence and collects what is wrong with them. */
class OptionReader {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #problems: Problem[];

  constructor(args: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
    const syntax = [
      ...FLAGS.map(({ name, kind }) => ({ name, boolean: kind === 'boolean' })),
      ...REFUSED_FLAGS,
    ];
    const { values, problems } = parseGoFlags(args, syntax);
    this.#values = values;
    this.#environment = environment;
    this.#problems = [...problems];
    this.#refuse();
  }

  /** @throws ConfigError when anything was wrong. */
  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError('agent options', this.#problems);
  }

  string(name: FlagName): string {
    const { texts } = this.#find(name);
    return texts.at(-1) ?? String(FLAG_BY_NAME.get(name)?.default ?? '');
  }

  strings(name: FlagName): readonly string[] {
    return this.#find(name).texts.filter(text => text !== '');
  }

  boolean(name: FlagName): boolean {
    const text = this.string(name);
    const value = parseGoBoolean(text);
    if (value === undefined) this.#problem(name, text, 'want true or false');
    return value ?? false;
  }

  integer(name: FlagName): number {
    const flag = FLAG_BY_NAME.get(name);
    const text = this.string(name);
    const value = parseGoInteger(text);
    if (flag?.kind !== 'integer' || value === undefined || value < flag.min || value > flag.max) {
      const range = flag?.kind === 'integer' ? ` from ${flag.min} to ${flag.max}` : '';
      this.#problem(name, text, `want a whole number${range}`);
      return 0;
    }
    return value;
  }

  optional<Key extends string>(key: Key, name: FlagName): { [K in Key]?: string } {
    const text = this.string(name);
    return (text === '' ? {} : { [key]: text }) as { [K in Key]?: string };
  }

  path(name: FlagName): string {
    const text = this.string(name);
    if (!text.startsWith('/')) this.#problem(name, text, 'want an absolute path');
    return text;
  }

  ip<Key extends string>(key: Key, name: FlagName, family?: Family): { [K in Key]?: Ip } {
    const text = this.string(name);
    if (text === '') return {};
    const ip = Ip.tryParse(text);
    if (ip === undefined || (family !== undefined && ip.family !== family)) {
      this.#problem(
        name,
        text,
        `want an ${family === 'ipv6' ? 'IPv6' : family === 'ipv4' ? 'IPv4' : 'IP'} address`,
      );
      return {};
    }
    if (ip.isUnspecified || ip.isMulticast || ip.isReserved) {
      this.#problem(name, text, 'is not the address of a host');
    }
    return { [key]: ip } as { [K in Key]?: Ip };
  }

  listenIp(name: 'healthz-ip' | 'metrics-ip'): string {
    const text = this.string(name);
    if (isIP(text) === 0) this.#problem(name, text, 'want an IP address');
    return text;
  }

  patterns(): readonly RegExp[] {
    return this.strings('iface-regex').flatMap(text => {
      try {
        return [new RegExp(text)];
      } catch {
        this.#problem('iface-regex', text, 'is not a regular expression');
        return [];
      }
    });
  }

  /** In the store's own spelling, so that one endpoint is not tried under two names. */
  endpoints(): readonly string[] {
    const texts = this.string('etcd-endpoints')
      .split(',')
      .filter(text => text.trim() !== '');
    const wantsTls = this.string('etcd-cafile') !== '' || this.string('etcd-certfile') !== '';
    try {
      const endpoints = parseEndpoints(texts, wantsTls);
      if (wantsTls && !endpoints.some(({ secure }) => secure)) {
        this.#problem('etcd-cafile', undefined, 'is given, but no endpoint is https');
      }
      return endpoints.map(({ url }) => url);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const { value, message, hint } of error.problems) {
        this.#problem('etcd-endpoints', typeof value === 'string' ? value : undefined, message, hint);
      }
      return [];
    }
  }

  /** `/` joined and cleaned as flannel's path.Join does, so that both find the same keys. */
  prefix(): string {
    const parts = this.string('etcd-prefix')
      .split('/')
      .filter(part => part !== '');
    if (parts.length === 0 || parts.some(part => part === '.' || part === '..')) {
      this.#problem('etcd-prefix', this.string('etcd-prefix'), 'want a key such as /coreos.com/network');
    }
    return `/${parts.join('/')}`;
  }

  metricsTls(listen: ListenAddress): MetricsTls | undefined {
    const certFile = this.string('metrics-certfile');
    const keyFile = this.string('metrics-keyfile');
    const caFile = this.string('metrics-cafile');
    const given = [certFile, keyFile, caFile].filter(text => text !== '').length;
    if (given === 3) return { certFile, keyFile, caFile };
    const hint = 'give --metrics-certfile, --metrics-keyfile and --metrics-cafile';
    if (given > 0) {
      this.#problem('metrics-certfile', undefined, 'is one of three that belong together', hint);
    } else if (listen.port !== 0 && Ip.tryParse(listen.host)?.isLoopback === false) {
      this.#problem('metrics-ip', listen.host, 'is not loopback, so it needs certificates', hint);
    }
    return undefined;
  }

  apart(health: ListenAddress, metrics: ListenAddress): void {
    if (health.port !== 0 && health.port === metrics.port && health.host === metrics.host) {
      this.#problem('metrics-port', String(metrics.port), 'is taken by --healthz-port');
    }
  }

  together(first: FlagName, second: FlagName): void {
    const [present, absent] = this.string(first) === '' ? [second, first] : [first, second];
    if (this.string(present) !== '' && this.string(absent) === '') {
      this.#problem(present, undefined, `needs --${absent} too`);
    }
  }

  #refuse(): void {
    for (const { name, default: standard, boolean, hint } of REFUSED_FLAGS) {
      const { path, texts } = this.#find(name);
      const same = (text: string) =>
        boolean ? parseGoBoolean(text) === parseGoBoolean(standard) : text === standard;
      const wrong = texts.find(text => !same(text));
      if (wrong !== undefined) {
        this.#problems.push({ path, value: wrong, message: 'is not supported', hint });
      }
    }
  }

  #find(name: string): Given {
    const given = this.#values.get(name);
    if (given !== undefined) return { path: `--${name}`, texts: given };
    const suffix = name.toUpperCase().replaceAll('-', '_');
    for (const variable of [`TULLE_${suffix}`, `FLANNELD_${suffix}`]) {
      const text = this.#environment[variable];
      if (text !== undefined && text !== '') return { path: `$${variable}`, texts: [text] };
    }
    return { path: `--${name}`, texts: [] };
  }

  #problem(name: FlagName, value: string | undefined, message: string, hint?: string): void {
    this.#problems.push({
      path: this.#find(name).path,
      ...(value === undefined ? {} : { value }),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}
