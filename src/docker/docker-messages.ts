/** What Docker's API sends and is sent (Docker Engine API 1.41), as far as Tulle needs it. */
import * as v from 'valibot';

const text = v.string();
const texts = v.nullish(v.record(text, text), {});

const NetworkEntries = {
  Name: text,
  Id: text,
  Driver: text,
  Internal: v.optional(v.boolean(), false),
  EnableIPv6: v.optional(v.boolean(), false),
  IPAM: v.object({
    Driver: v.exactOptional(text),
    /** `--ipam-opt`. */
    Options: v.nullish(v.record(text, text)),
    Config: v.nullish(
      v.array(
        v.object({
          Subnet: v.optional(text, ''),
          IPRange: v.optional(text, ''),
          Gateway: v.optional(text, ''),
          /** `--aux-address`; name to address. */
          AuxiliaryAddresses: v.nullish(v.record(text, text)),
        }),
      ),
      [],
    ),
  }),
  Options: texts,
  Labels: texts,
};

export const DockerNetworkState = v.object({
  ...NetworkEntries,
  /** By id of the container. */
  Containers: v.nullish(
    v.record(
      text,
      v.object({
        Name: text,
        EndpointID: v.exactOptional(text),
        MacAddress: v.optional(text, ''),
        /** `10.9.1.130/16`, or empty. */
        IPv4Address: v.optional(text, ''),
        IPv6Address: v.optional(text, ''),
      }),
    ),
    {},
  ),
});
export type DockerNetworkState = v.InferOutput<typeof DockerNetworkState>;

export const DockerNetworkList = v.array(DockerNetworkState);

export const DockerContainer = v.object({
  /** With a slash before it. */
  Name: text,
  State: v.object({ Running: v.boolean(), Pid: v.number() }),
  HostConfig: v.optional(v.object({ RestartPolicy: v.nullish(v.object({ Name: v.optional(text, '') })) })),
  NetworkSettings: v.object({ SandboxKey: v.optional(text, '') }),
});
export type DockerContainer = v.InferOutput<typeof DockerContainer>;

export const DockerEndpoints = v.object({
  /** With a slash before it. */
  Name: text,
  Config: v.nullish(v.object({ Labels: texts }), { Labels: {} }),
  NetworkSettings: v.object({
    Networks: v.nullish(
      v.record(
        text,
        v.object({
          NetworkID: v.optional(text, ''),
          /** Empty while the container does not run. */
          EndpointID: v.optional(text, ''),
          Aliases: v.nullish(v.array(text), []),
          /** Since 25.0: all of its names. */
          DNSNames: v.nullish(v.array(text), []),
        }),
      ),
      {},
    ),
  }),
});
export type DockerEndpoints = v.InferOutput<typeof DockerEndpoints>;

/** A container that runs, as a list has it. */
const ListedContainer = v.object({
  Id: text,
  /** Each with a slash before it. */
  Names: v.nullish(v.array(text), []),
  HostConfig: v.exactOptional(
    v.nullish(
      v.object({
        /** The network that it was made for: a name, `default`, `none`, `host` or `container:ID`. */
        NetworkMode: v.optional(text, ''),
      }),
    ),
  ),
  NetworkSettings: v.nullish(
    v.object({
      /** By name of the network. */
      Networks: v.nullish(
        v.record(
          text,
          v.object({
            MacAddress: v.optional(text, ''),
            IPAddress: v.optional(text, ''),
            GlobalIPv6Address: v.optional(text, ''),
          }),
        ),
        {},
      ),
    }),
  ),
});
export type ListedContainer = v.InferOutput<typeof ListedContainer>;

export const ListedContainers = v.array(ListedContainer);

/** A network or a container came, went or was changed, or the daemon itself. */
export const DockerEvent = v.object({
  Type: v.optional(text, ''),
  Action: v.optional(text, ''),
  /** What it happened to: its id, and what is known of it: `name`, and `container` of a network's `connect`. */
  Actor: v.exactOptional(v.object({ ID: v.optional(text, ''), Attributes: texts })),
});
export type DockerEvent = v.InferOutput<typeof DockerEvent>;

/** Body of a request that makes a network. */
export interface NewDockerNetwork {
  readonly Name: string;
  readonly CheckDuplicate: true;
  readonly Driver: 'bridge';
  readonly Internal: boolean;
  readonly EnableIPv6: boolean;
  readonly IPAM: {
    readonly Driver: 'default';
    readonly Config: readonly {
      readonly Subnet: string;
      readonly IPRange: string;
      readonly Gateway?: string;
    }[];
  };
  readonly Options: Readonly<Record<string, string>>;
  readonly Labels: Readonly<Record<string, string>>;
}
