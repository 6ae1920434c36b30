/**
 * What dockerd asks of a network plugin, and what it is answered: libnetwork's remote protocol, as moby v20.10.27, v28.5.2
 * and 29 speak it (libnetwork/docs/remote.md, libnetwork/drivers/remote/api, libnetwork/ipams/remote/api). Names are
 * Docker's. The schemas bound what is read; what it means is checked where it is used.
 */
import * as v from 'valibot';

/** Of one text; an option of a network may be long. */
const MOST_TEXT = 4096;
/** Of a list or a record. */
const MOST_ENTRIES = 1024;
/** All of them: a range in `-p` arrives port by port. */
const MOST_PORTS = 65_536;

const text = v.pipe(v.string(), v.maxLength(MOST_TEXT));
/** Go writes a nil slice, map or string as null, or leaves it out. */
const optionalText = v.nullish(text, '');
const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535));

/** 64 hex digits in Docker; a word of them names a file here, or a link. */
const id = v.pipe(
  v.string(),
  v.regex(/^[0-9a-z]{1,128}$/, 'want an id of Docker: lower-case letters and digits'),
);

const few = <Value extends v.GenericSchema>(value: Value) =>
  v.pipe(
    v.record(text, value),
    v.check(record => Object.keys(record).length <= MOST_ENTRIES, `want at most ${MOST_ENTRIES} entries`),
  );

const texts = v.nullish(few(text), {});
const anything = v.nullish(few(v.unknown()), {});

const IpamData = v.object({
  AddressSpace: optionalText,
  Pool: optionalText,
  /** `10.9.0.1/16`. */
  Gateway: optionalText,
  /** Name to `ip/length`. */
  AuxAddresses: texts,
});
export type IpamData = v.InferOutput<typeof IpamData>;

const ipamList = v.nullish(v.pipe(v.array(IpamData), v.maxLength(64)), []);

/** `-p`: `Proto` is that of IP, 6, 17 or 132. */
const PortBinding = v.object({
  Proto: port,
  Port: port,
  HostIP: optionalText,
  HostPort: v.nullish(port, 0),
  HostPortEnd: v.nullish(port, 0),
});
export type PortBinding = v.InferOutput<typeof PortBinding>;

export const GENERIC_OPTION = 'com.docker.network.generic';
export const INTERNAL_OPTION = 'com.docker.network.internal';
export const IPV6_OPTION = 'com.docker.network.enable_ipv6';
export const PORTMAP_OPTION = 'com.docker.network.portmap';
export const MAC_OPTION = 'com.docker.network.endpoint.macaddress';
export const GATEWAY_OPTION = 'com.docker.network.gateway';
export const ADDRESS_TYPE_OPTION = 'RequestAddressType';

const portOptions = v.nullish(
  v.looseObject({ [PORTMAP_OPTION]: v.nullish(v.pipe(v.array(PortBinding), v.maxLength(MOST_PORTS)), []) }),
  { [PORTMAP_OPTION]: [] },
);

export const CreateNetworkCall = v.object({
  NetworkID: id,
  Options: v.nullish(
    v.looseObject({
      [GENERIC_OPTION]: texts,
      [INTERNAL_OPTION]: v.nullish(v.boolean(), false),
      [IPV6_OPTION]: v.nullish(v.boolean(), false),
    }),
    { [GENERIC_OPTION]: {}, [INTERNAL_OPTION]: false, [IPV6_OPTION]: false },
  ),
  /** Null without addresses of the family. */
  IPv4Data: ipamList,
  IPv6Data: ipamList,
});
export type CreateNetworkCall = v.InferOutput<typeof CreateNetworkCall>;

export const NetworkCall = v.object({ NetworkID: id });

export const CreateEndpointCall = v.object({
  NetworkID: id,
  EndpointID: id,
  Interface: v.nullish(
    v.object({ Address: optionalText, AddressIPv6: optionalText, MacAddress: optionalText }),
    { Address: '', AddressIPv6: '', MacAddress: '' },
  ),
});
export type CreateEndpointCall = v.InferOutput<typeof CreateEndpointCall>;

export const EndpointCall = v.object({ NetworkID: id, EndpointID: id });
export type EndpointCall = v.InferOutput<typeof EndpointCall>;

export const JoinCall = v.object({ NetworkID: id, EndpointID: id, SandboxKey: optionalText });
export type JoinCall = v.InferOutput<typeof JoinCall>;

export const ExternalCall = v.object({ NetworkID: id, EndpointID: id, Options: portOptions });
export type ExternalCall = v.InferOutput<typeof ExternalCall>;

/** Since 28.0. */
export const GatewayCheckCall = v.object({ Options: anything });

export const RequestPoolCall = v.object({
  AddressSpace: optionalText,
  /** `--subnet`; empty without one. */
  Pool: optionalText,
  /** `--ip-range`. */
  SubPool: optionalText,
  /** `--ipam-opt`. */
  Options: texts,
  V6: v.nullish(v.boolean(), false),
});
export type RequestPoolCall = v.InferOutput<typeof RequestPoolCall>;

export const PoolCall = v.object({ PoolID: text });

export const AddressCall = v.object({
  PoolID: text,
  /** Empty: any. Without a length. */
  Address: optionalText,
  Options: texts,
});
export type AddressCall = v.InferOutput<typeof AddressCall>;
