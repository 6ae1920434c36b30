/** Every call of Docker's remote protocol, by its path: what its body has to be, and who does it. */
import * as v from 'valibot';
import type { IpamDriver } from './ipam-driver.ts';
import type { NetworkDriver } from './network-driver.ts';
import {
  AddressCall,
  CreateEndpointCall,
  CreateNetworkCall,
  EndpointCall,
  ExternalCall,
  GatewayCheckCall,
  JoinCall,
  NetworkCall,
  PoolCall,
  RequestPoolCall,
} from './plugin-messages.ts';
import { ADDRESS_SPACE } from './plugin-network.ts';
import { parsePoolId } from './pool-id.ts';

/** What is made of a body that was checked. */
export interface PluginCall {
  /** Absent: Docker sends no body, or nothing of it matters. */
  readonly schema?: v.GenericSchema;
  /** @param body as the schema gives it. @param signal aborts when nobody waits for the answer any more */
  readonly answer: (body: unknown, signal: AbortSignal) => object | Promise<object>;
}

function call<Schema extends v.GenericSchema>(
  schema: Schema,
  answer: (
    body: v.InferOutput<Schema>,
    signal: AbortSignal,
  ) => object | undefined | Promise<object | undefined | void> | void,
): PluginCall {
  return {
    schema,
    answer: async (body, signal) => (await answer(body, signal)) ?? {},
  };
}

const constant = (answer: object): PluginCall => ({ answer: () => answer });

export function pluginCalls(driver: NetworkDriver, ipam: IpamDriver): Readonly<Record<string, PluginCall>> {
  return {
    '/Plugin.Activate': constant({ Implements: ['NetworkDriver', 'IpamDriver'] }),

    // Without GwAllocChecker every network has a gateway, by which a pool without subnet is known again.
    '/NetworkDriver.GetCapabilities': constant({ Scope: 'local', ConnectivityScope: 'global' }),
    '/NetworkDriver.GwAllocCheck': call(GatewayCheckCall, () => ({ SkipIPv4: false, SkipIPv6: false })),
    '/NetworkDriver.CreateNetwork': call(CreateNetworkCall, body => driver.createNetwork(body)),
    '/NetworkDriver.DeleteNetwork': call(NetworkCall, body => driver.deleteNetwork(body)),
    '/NetworkDriver.CreateEndpoint': call(CreateEndpointCall, async (body, signal) => ({
      Interface: await driver.createEndpoint(body, signal),
    })),
    '/NetworkDriver.DeleteEndpoint': call(EndpointCall, body => driver.deleteEndpoint(body)),
    '/NetworkDriver.EndpointOperInfo': call(EndpointCall, () => ({ Value: {} })),
    '/NetworkDriver.Join': call(JoinCall, body => driver.join(body)),
    '/NetworkDriver.Leave': call(EndpointCall, body => driver.leave(body)),
    '/NetworkDriver.ProgramExternalConnectivity': call(ExternalCall, body => driver.program(body)),
    '/NetworkDriver.RevokeExternalConnectivity': call(EndpointCall, body => driver.revoke(body)),
    '/NetworkDriver.DiscoverNew': constant({}),
    '/NetworkDriver.DiscoverDelete': constant({}),

    // Asked again after a restart of dockerd, a pool without subnet could not be told from another one: no replay.
    '/IpamDriver.GetCapabilities': constant({ RequiresMACAddress: true, RequiresRequestReplay: false }),
    // One and the same: Docker 28 then does not compare pools with routes of the host.
    '/IpamDriver.GetDefaultAddressSpaces': constant({
      LocalDefaultAddressSpace: ADDRESS_SPACE,
      GlobalDefaultAddressSpace: ADDRESS_SPACE,
    }),
    '/IpamDriver.RequestPool': call(RequestPoolCall, body => ipam.requestPool(body)),
    '/IpamDriver.ReleasePool': call(PoolCall, ({ PoolID }) => void parsePoolId(PoolID)),
    '/IpamDriver.RequestAddress': call(AddressCall, (body, signal) => ipam.requestAddress(body, signal)),
    '/IpamDriver.ReleaseAddress': call(AddressCall, body => ipam.releaseAddress(body)),
  };
}
