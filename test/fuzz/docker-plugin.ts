/** What dockerd sends to the network plugin: bodies of its calls, and the ids of pools that come back. */
import * as v from 'valibot';
import { DockerNetworkState } from '../../src/docker/docker-messages.ts';
import { adoptNetwork } from '../../src/plugin/docker/adopt-network.ts';
import {
  AddressCall,
  CreateEndpointCall,
  CreateNetworkCall,
  ExternalCall,
  JoinCall,
  RequestPoolCall,
} from '../../src/plugin/docker/plugin-messages.ts';
import { readNetwork } from '../../src/plugin/docker/plugin-network.ts';
import { decode } from '../../src/plugin/docker/plugin-server.ts';
import { formatPoolId, parsePoolId } from '../../src/plugin/docker/pool-id.ts';
import { recordedOrder } from '../support/docker-orders.ts';
import type { FuzzTarget } from './fuzz.ts';
import { texts } from './texts.ts';

/** Bodies of one call in the recordings. */
const bodies = (uri: string) =>
  ['20.10-two-networks', '20.10-gateway-aux-options', '20.10-ipv6', '28-without-ipv4']
    .flatMap(recordedOrder)
    .filter(call => call.uri === uri)
    .map(({ body }) => JSON.stringify(body));

/** Reading what was read gives the same. */
function read(schema: v.GenericSchema, text: string): string {
  const body = decode(schema, text);
  return JSON.stringify(body);
}

const call = (uri: string, schema: v.GenericSchema) =>
  texts(`calls ${uri}`, bodies(uri), ['UNDECODABLE'], text => read(schema, text));

export const dockerPluginTargets: readonly FuzzTarget[] = [
  texts(
    'ids of pools',
    ['ipv4 auto 0.67.12.9', 'ipv6 auto 100::12', 'ipv4 subnet 10.9.0.0/16', 'ipv6 subnet fd00:9::/64 blue'],
    ['INVALID_VALUE'],
    text => formatPoolId(parsePoolId(text)),
  ),
  call('/IpamDriver.RequestPool', RequestPoolCall),
  call('/IpamDriver.RequestAddress', AddressCall),
  call('/NetworkDriver.CreateEndpoint', CreateEndpointCall),
  call('/NetworkDriver.Join', JoinCall),
  call('/NetworkDriver.ProgramExternalConnectivity', ExternalCall),
  texts(
    'Docker networks of the plugin',
    bodies('/NetworkDriver.CreateNetwork'),
    ['UNDECODABLE', 'INVALID_CONFIG'],
    text => {
      const body = decode(CreateNetworkCall, text) as v.InferOutput<typeof CreateNetworkCall>;
      readNetwork(body);
      return JSON.stringify(body);
    },
  ),
  texts(
    'Docker networks that are adopted',
    [
      '{"Name":"blue","Id":"331e","Driver":"tulle","EnableIPv6":false,"IPAM":{"Driver":"tulle","Options":{},"Config":[{"Subnet":"0.0.0.0/0","Gateway":"0.0.1.1"}]},"Options":{},"Labels":{}}',
    ],
    ['UNDECODABLE', 'INVALID_CONFIG'],
    text => {
      const state = decode(DockerNetworkState, text) as DockerNetworkState;
      adoptNetwork(state);
      return JSON.stringify(state);
    },
  ),
];
