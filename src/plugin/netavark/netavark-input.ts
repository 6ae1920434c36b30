/** What netavark writes on a plugin's standard input (plugin-API.md of netavark 1.6 to 1.16). */
import * as v from 'valibot';
import { ConfigError, messageOf, type Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { byFamily, type PerFamily } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { PortMapping } from '../../network/attachment/port-mapping.ts';
import { problemOfIssue } from '../cni/cni-config.ts';
import { attachmentIdOf } from '../cni/container-id.ts';

const text = v.pipe(v.string(), v.maxLength(4096));
const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535));

const NetworkShape = v.looseObject({
  name: v.pipe(text, v.minLength(1)),
  internal: v.nullish(v.boolean()),
  ipv6_enabled: v.nullish(v.boolean()),
  subnets: v.nullish(
    v.pipe(
      v.array(v.looseObject({ subnet: text, gateway: v.nullish(text), lease_range: v.nullish(v.unknown()) })),
      v.maxLength(2),
    ),
  ),
  options: v.nullish(v.record(text, text)),
});
type NetworkShape = v.InferOutput<typeof NetworkShape>;

const ContainerShape = v.looseObject({
  container_id: v.pipe(text, v.minLength(1)),
  container_name: v.nullish(text),
  port_mappings: v.nullish(
    v.pipe(
      v.array(
        v.looseObject({
          container_port: v.pipe(port, v.minValue(1)),
          host_ip: v.nullish(text),
          host_port: v.nullish(port),
          protocol: v.nullish(text),
          range: v.nullish(port),
        }),
      ),
      v.maxLength(4096),
    ),
  ),
  network: NetworkShape,
  network_options: v.looseObject({
    aliases: v.nullish(v.pipe(v.array(text), v.maxLength(64))),
    interface_name: v.pipe(text, v.minLength(1)),
    static_ips: v.nullish(v.pipe(v.array(text), v.maxLength(8))),
    static_mac: v.nullish(text),
  }),
});

export interface NetavarkNetwork {
  /** Name of the network of Tulle: that of podman's, or what the option `tulle.network` says. */
  readonly name: string;
  readonly subnets: PerFamily<Prefix>;
  readonly gateways: PerFamily<Ip>;
  readonly ipv6: boolean;
  readonly internal: boolean;
  /** The option `tulle.keep`: a container of the same name gets the same address again. */
  readonly keep: boolean;
  readonly options: Readonly<Record<string, string>>;
}

export interface NetavarkContainer {
  /** Of the attachment. */
  readonly id: string;
  readonly name: string;
  readonly link: string;
  readonly network: NetavarkNetwork;
  readonly ips: PerFamily<Ip>;
  readonly mac: Mac | undefined;
  readonly aliases: readonly string[];
  readonly ports: readonly PortMapping[];
}

/** Of `create`. @throws ConfigError with everything that is wrong */
export function readPodmanNetwork(json: string): { readonly raw: object; readonly network: NetavarkNetwork } {
  const problems: Problem[] = [];
  const shape = shaped(json, NetworkShape, 'network');
  const network = networkOf(shape, '', problems);
  if (problems.length > 0) throw new ConfigError('network', problems);
  return { raw: shape, network };
}

/** Of `setup` and `teardown`. @throws ConfigError with everything that is wrong */
export function readPodmanContainer(json: string): NetavarkContainer {
  const problems: Problem[] = [];
  const shape = shaped(json, ContainerShape, 'container');
  const { network_options: options, container_id: containerId } = shape;
  const ips = (options.static_ips ?? []).flatMap(
    text => parsed('static_ips', text, Ip.parse, problems) ?? [],
  );
  if (new Set(ips.map(({ family }) => family)).size < ips.length)
    problems.push({ path: 'network_options.static_ips', message: 'want one address of each family at most' });
  const mac = options.static_mac ? parsed('static_mac', options.static_mac, Mac.parse, problems) : undefined;
  const container = {
    id: attachmentIdOf(shape.network.name, containerId, options.interface_name),
    name: shape.container_name || containerId,
    link: options.interface_name,
    network: networkOf(shape.network, 'network.', problems),
    ips: byFamily(...ips),
    mac,
    aliases: options.aliases ?? [],
    ports: (shape.port_mappings ?? []).flatMap((one, at) => portsOf(one, `port_mappings.${at}`, problems)),
  };
  if (problems.length > 0) throw new ConfigError('container', problems);
  return container;
}

function shaped<Schema extends v.GenericSchema>(
  json: string,
  schema: Schema,
  subject: string,
): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new ConfigError(subject, [{ path: 'standard input', message: 'is not JSON' }]);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new ConfigError(subject, result.issues.map(problemOfIssue));
}

function networkOf(shape: NetworkShape, at: string, problems: Problem[]): NetavarkNetwork {
  const options = shape.options ?? {};
  for (const key of Object.keys(options)) {
    if (!key.startsWith('tulle.') || ['tulle.network', 'tulle.keep', 'tulle.socket'].includes(key)) continue;
    const hint = 'want tulle.network, tulle.keep or tulle.socket';
    problems.push({ path: `${at}options.${key}`, message: 'is not known', hint });
  }
  const keep = options['tulle.keep'] ?? 'false';
  if (keep !== 'true' && keep !== 'false')
    problems.push({ path: `${at}options.tulle.keep`, value: keep, message: 'must be true or false' });
  const listed = shape.subnets ?? [];
  const subnets = listed.flatMap(({ subnet }) => parsed('subnets', subnet, Prefix.parse, problems) ?? []);
  const gateways = listed.flatMap(({ gateway }) =>
    gateway ? (parsed('gateway', gateway, Ip.parse, problems) ?? []) : [],
  );
  if (listed.some(({ lease_range: range }) => range !== undefined && range !== null))
    problems.push({ path: `${at}subnets`, message: 'Tulle chooses the range of each host (--ip-range)' });
  return {
    name: options['tulle.network'] ?? shape.name,
    subnets: byFamily(...subnets),
    gateways: byFamily(...gateways),
    ipv6: shape.ipv6_enabled ?? false,
    internal: shape.internal ?? false,
    keep: keep === 'true',
    options,
  };
}

type Mapping = NonNullable<v.InferOutput<typeof ContainerShape>['port_mappings']>[number];

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;

/** podman writes a range of ports as its first one and their number, and several protocols with commas. */
function portsOf(mapping: Mapping, path: string, problems: Problem[]): PortMapping[] {
  const count = mapping.range || 1;
  const hostIp = mapping.host_ip ? parsed(`${path}.host_ip`, mapping.host_ip, Ip.parse, problems) : undefined;
  const isBeyond = Math.max(mapping.container_port, mapping.host_port ?? 0) + count - 1 > 65_535;
  if (isBeyond) problems.push({ path: `${path}.range`, value: count, message: 'ends beyond port 65535' });
  const protocols = (mapping.protocol || 'tcp').split(',').flatMap(text => {
    const known = PROTOCOLS.find(one => one === text.toLowerCase());
    if (known === undefined)
      problems.push({
        path: `${path}.protocol`,
        value: text,
        message: `want one of ${PROTOCOLS.join(', ')}`,
      });
    return known ?? [];
  });
  if (isBeyond) return [];
  return protocols.flatMap(protocol =>
    Array.from({ length: count }, (_, at) => ({
      protocol,
      containerPort: mapping.container_port + at,
      ...(mapping.host_port && { hostPort: mapping.host_port + at }),
      ...(hostIp && !hostIp.isUnspecified && { hostIp }),
      // As long as the container runs podman listens there itself.
      isHeldByEngine: true,
    })),
  );
}

function parsed<T>(
  path: string,
  text: string,
  parse: (text: string) => T,
  problems: Problem[],
): T | undefined {
  try {
    return parse(text);
  } catch (error) {
    problems.push({ path, message: messageOf(error) });
    return undefined;
  }
}
