/** The shape of a configuration and of a result, as they come from a runtime. Bounds keep a call small. */
import * as v from 'valibot';

const text = v.pipe(v.string(), v.maxLength(4096));
const texts = v.nullish(v.pipe(v.array(text), v.maxLength(64)));
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));

export const MappingShape = v.looseObject({
  hostPort: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))),
  containerPort: port,
  protocol: v.nullish(text),
  hostIP: v.nullish(text),
});
export type MappingShape = v.InferOutput<typeof MappingShape>;

const DnsShape = v.looseObject({
  nameservers: texts,
  domain: v.nullish(text),
  search: texts,
  options: texts,
});

/** Of this plugin's own keys. */
const own = {
  network: v.nullish(v.pipe(text, v.minLength(1))),
  keep: v.nullish(v.boolean()),
  dns: v.nullish(DnsShape),
  socket: v.nullish(text),
};

/** A result of another plugin, or of an earlier call; what is not named here is passed on. */
export const ResultShape = v.looseObject({
  interfaces: v.nullish(
    v.pipe(
      v.array(v.looseObject({ name: text, mac: v.nullish(text), sandbox: v.nullish(text) })),
      v.maxLength(64),
    ),
  ),
  ips: v.nullish(
    v.pipe(
      v.array(
        v.looseObject({
          address: text,
          gateway: v.nullish(text),
          interface: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
        }),
      ),
      v.maxLength(64),
    ),
  ),
  routes: v.nullish(v.pipe(v.array(v.looseObject({ dst: text, gw: v.nullish(text) })), v.maxLength(256))),
  dns: v.nullish(DnsShape),
});
export type ResultShape = v.InferOutput<typeof ResultShape>;

const validAttachments = v.nullish(
  v.pipe(v.array(v.looseObject({ containerID: text, ifname: text })), v.maxLength(20_000)),
);

export const ConfigShape = v.looseObject({
  cniVersion: text,
  /** Also the specification's rule for ids of containers. */
  name: v.pipe(text, v.regex(/^[A-Za-z0-9][\w.-]*$/, 'want letters, digits, and _ . - after the first')),
  ...own,
  /** Of a delegate: the keys of this plugin. */
  ipam: v.nullish(v.looseObject(own)),
  args: v.nullish(v.looseObject({ cni: v.nullish(v.looseObject({ ips: texts, mac: v.nullish(text) })) })),
  runtimeConfig: v.nullish(
    v.looseObject({
      portMappings: v.nullish(v.pipe(v.array(MappingShape), v.maxLength(65_536))),
      ips: texts,
      mac: v.nullish(text),
      /** Of podman: by the name of the network. */
      aliases: v.nullish(v.union([v.array(text), v.record(text, v.array(text))])),
      dns: v.nullish(v.looseObject({ servers: texts, searches: texts, options: texts })),
    }),
  ),
  prevResult: v.nullish(ResultShape),
  'cni.dev/valid-attachments': validAttachments,
  /** As libcni called it before the specification was final. */
  'cni.dev/attachments': validAttachments,
});
export type ConfigShape = v.InferOutput<typeof ConfigShape>;
