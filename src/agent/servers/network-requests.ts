/** Requests about L2 networks on this host: how they are, and containers that are connected and disconnected. */
import type { IncomingMessage } from 'node:http';
import {
  ConnectBody,
  type ConnectReport,
  DisconnectBody,
  type DisconnectReport,
} from '../../api/networks.ts';
import { ConfigError, messageOf, type Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { Segments } from '../../network/segment/segments.ts';
import { decodedPart, readBody } from './request-body.ts';

const PATH = '/v1/networks';

export interface NetworkHandlers extends Pick<Segments, 'onHost'> {
  readonly containers: {
    readonly connector: Pick<Segments['containers']['connector'], 'connect' | 'disconnect'>;
  };
}

/** The answer; undefined when the request is not about L2 networks. @throws ConfigError, TulleError of the parts */
export async function answerNetworks(
  networks: NetworkHandlers,
  request: IncomingMessage,
  path: string,
): Promise<unknown> {
  if (path === PATH && request.method === 'GET') return await networks.onHost();
  const [, name = '', verb] = /^\/v1\/networks\/([^/]+)\/(connect|disconnect)$/.exec(path) ?? [];
  if (verb === undefined || request.method !== 'POST') return undefined;
  const network = decodedPart(name, 'network');
  const { connector } = networks.containers;
  if (verb === 'connect')
    return await connect(connector, network, await readBody(request, ConnectBody, 'connect'));
  return await disconnect(connector, network, await readBody(request, DisconnectBody, 'disconnect'));
}

type Connector = NetworkHandlers['containers']['connector'];

async function connect(connector: Connector, network: string, body: ConnectBody): Promise<ConnectReport> {
  const problems: Problem[] = [];
  const parsed = <T>(path: string, value: string, parse: (text: string) => T): T | undefined => {
    try {
      return parse(value);
    } catch (error) {
      problems.push({ path, message: messageOf(error) });
      return undefined;
    }
  };
  const ips = body.ips.map(text => parsed('ip', text, Ip.parse)).filter(ip => ip !== undefined);
  const mac = body.mac === undefined ? undefined : parsed('mac', body.mac, Mac.parse);
  if (mac !== undefined && !mac.isUnicast)
    problems.push({ path: 'mac', value: `${mac}`, message: 'must be the address of one station' });
  if (problems.length > 0) throw new ConfigError('connect', problems);
  const made = await connector.connect(network, { target: body.target, ips, ...(mac && { mac }) });
  const { container, mtu, link, hostLink, isPublished: published } = made;
  return {
    network,
    container,
    addresses: valuesOf(made.addresses).map(String),
    mac: `${made.mac}`,
    mtu,
    link,
    hostLink,
    gateways: valuesOf(made.gateways).map(String),
    published,
  };
}

async function disconnect(
  connector: Connector,
  network: string,
  { target }: DisconnectBody,
): Promise<DisconnectReport> {
  const { container, ips } = await connector.disconnect(network, target);
  return { network, container, addresses: ips.map(String) };
}
